# One HTTP exchange over curl. Nothing here knows of tokens, services or sessions.

# What goes with a request: at most one of them. Its bytes must live as long as the request does.
json_body <- function(text) list(kind = "json", bytes = charToRaw(enc2utf8(text)))
file_body <- function(path) list(kind = "file", path = path)
form_body <- function(...) list(kind = "form", parts = list(...))
pairs_body <- function(...) list(kind = "pairs", bytes = charToRaw(query_string(list(...))))

# A list of status, headers (raw), content (raw, or a path if `to` is one) and url. Raises gristmill_unreachable. With
# `fresh` on a connection of its own: on one that the server closes at that moment, curl itself would send again.
exchange <- function(method, url, body = NULL, headers = list(), to = NULL, handle = curl::new_handle(), fresh = FALSE) {
  prepare(handle, method, body, headers)
  if (fresh) curl::handle_setopt(handle, fresh_connect = TRUE)
  response <- tryCatch(
    if (is.null(to)) curl::curl_fetch_memory(url, handle) else curl::curl_fetch_disk(url, to, handle),
    error = function(problem) unreachable(url, conditionMessage(problem))
  )
  plain_response(response)
}

plain_response <- function(response) {
  list(status = response$status_code, headers = response$headers, content = response$content, url = response$url)
}

# Parsed when somebody asks: most answers are read without. Names in lower case.
headers_of <- function(response) {
  headers <- curl::parse_headers_list(response$headers)
  names(headers) <- tolower(names(headers))
  headers
}

prepare <- function(handle, method, body, headers) {
  curl::handle_reset(handle)
  # Without a body and with POST, curl would wait for one.
  if (is.null(body) && method %in% c("POST", "PUT", "PATCH")) body <- json_body("{}")
  # As raw: curl takes strings of 8 MB at most.
  bytes <- if (is.null(body$bytes)) list() else list(postfields = body$bytes, postfieldsize_large = length(body$bytes))
  curl::handle_setopt(handle, .list = c(bytes, list(
    customrequest = method, useragent = user_agent(), followlocation = FALSE, tcp_keepalive = TRUE,
    connecttimeout = getOption("gristmill.connect_timeout", 10), timeout = getOption("gristmill.timeout", 0)
  )))
  if (!is.null(body)) headers <- attach_body(handle, body, headers)
  # "Expect: 100-continue" costs a round trip, or a second where a proxy ignores it.
  curl::handle_setheaders(handle, .list = c(headers, Expect = ""))
}

attach_body <- function(handle, body, headers) {
  if (body$kind == "form") {
    do.call(curl::handle_setform, c(list(handle), body$parts))
    watch_progress(handle, sum(vapply(body$parts, form_size, 0)))
    return(headers)
  }
  if (body$kind == "file") {
    stream_file(handle, body$path)
    headers[["Content-Type"]] <- "application/octet-stream"
    return(headers)
  }
  headers[["Content-Type"]] <- if (body$kind == "pairs") "application/x-www-form-urlencoded" else "application/json"
  headers
}

form_size <- function(part) if (inherits(part, "form_file")) file.size(part$path) else 0

# Send a file as it is read, so that one larger than memory will do.
stream_file <- function(handle, path) {
  size <- file.size(path)
  source <- NULL
  left <- size
  read <- function(count) {
    if (is.null(source)) source <<- file(path, "rb")
    bytes <- readBin(source, "raw", min(count, left))
    left <<- left - length(bytes)
    if (left <= 0 && !is.null(source)) {
      close(source)
      source <<- NULL
    }
    bytes
  }
  # A connection of its own: on one that the server has closed meanwhile, curl would have to begin again.
  curl::handle_setopt(handle, upload = TRUE, infilesize_large = size, readfunction = read,
                      upload_buffersize = 1024L^2, fresh_connect = TRUE)
  watch_progress(handle, size)
}

# A bar for uploads that take a while, where somebody is looking.
watch_progress <- function(handle, size) {
  if (!getOption("gristmill.progress", interactive()) || is.na(size) || size < 4e6) return(invisible())
  bar <- NULL
  curl::handle_setopt(handle, noprogress = FALSE, progressfunction = function(down, up) {
    if (up[1L] > 0) {
      if (is.null(bar)) {
        message(sprintf("Sending %.0f MB", up[1L] / 1e6))
        bar <<- utils::txtProgressBar(max = up[1L], style = 3L, file = stderr())
      }
      utils::setTxtProgressBar(bar, up[2L])
      if (up[2L] >= up[1L]) close(bar)
    }
    TRUE
  })
}

unreachable <- function(url, reason) {
  abort(
    "gristmill_unreachable", paste0("cannot reach ", sub("^(https?://[^/]+).*", "\\1", url), ": ", reason),
    "Check the address and its port, that the server is running, and that no proxy or firewall stands between.",
    unsent = grepl(unsent_words, reason, ignore.case = TRUE) && !grepl(broken_words, reason, ignore.case = TRUE),
    broken = grepl(broken_words, reason, ignore.case = TRUE)
  )
}

user_agent <- function() {
  if (is.null(the$agent)) {
    the$agent <- paste0("gristmill-r/", utils::packageVersion("gristmill"), " R/", getRversion())
  }
  the$agent
}

# "?a=1&b=2"-style text, without the question mark; NULLs are left out.
query_string <- function(query) {
  query <- query[!vapply(query, is.null, NA)]
  values <- vapply(query, function(value) url_part(if (is.logical(value)) tolower(value) else format_plain(value)), "")
  paste(names(query), values, sep = "=", collapse = "&")
}

format_plain <- function(value) if (is.numeric(value)) format(value, scientific = FALSE, trim = TRUE) else as.character(value)

url_part <- function(text) curl::curl_escape(enc2utf8(as.character(text)))

# "/services/bos%2Drf/1.0.0" of its parts.
url_path <- function(...) paste0("/", vapply(list(...), url_part, ""), collapse = "")
