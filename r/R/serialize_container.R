# The file of a realtime model: a header, the description, and the model itself. The digest is MD5, which base R has.

container_bytes <- function(description, payload) {
  parts <- c(charToRaw(enc2utf8(description)), charToRaw(enc2utf8(payload)))
  described <- length(charToRaw(enc2utf8(description)))
  size <- length(parts) - described
  header <- c(
    charToRaw("blob-gm\n"), writeBin(1L, raw(), size = 2L, endian = "little"), # version of the format
    writeBin(1L, raw(), size = 2L, endian = "little"), # 1 is MD5
    unsigned_32(described), unsigned_32(size %% 2^32), unsigned_32(size %/% 2^32),
    md5_of(parts), raw(16L)
  )
  c(header, parts)
}

unsigned_32 <- function(x) as.raw(x %/% 256^(0:3) %% 256)

md5_of <- function(bytes) {
  path <- tempfile("gristmill-")
  on.exit(unlink(path))
  writeBin(bytes, path)
  digits <- unname(tools::md5sum(path))
  as.raw(strtoi(substring(digits, seq(1L, 31L, 2L), seq(2L, 32L, 2L)), 16L))
}
