# The R side of a shell: started by the companion (python_shell/r_process.py) as
#   R --no-echo --no-restore --vanilla -f driver.R --args <directory of these files> <input> <output>
# where input and output are descriptors of two pipes. Requests and answers are objects in R's own serialization
# format, native byte order, version 2: one request is one list, one answer its size in bytes (a double) and one list.
# All of it lives in an environment that user code does not see.

.gristmill <- base::new.env(parent = base::baseenv())
base::evalq({
  arguments <- commandArgs(trailingOnly = TRUE)
  here <- arguments[1L]
  for (part in c("values", "errors", "packages", "world", "services", "session", "loop"))
    sys.source(file.path(here, paste0(part, ".R")), environment())
  descriptors <- paste0("/dev/fd/", arguments[2:3])
  start()
}, .gristmill)
base::local({
  shell <- .gristmill
  base::rm(".gristmill", envir = base::globalenv())
  shell$supervise()
})
