# `destination`: an R file that calls the service with curl and jsonlite alone.

write_client <- function(service, directory) {
  if (!is_string(directory) || !dir.exists(directory)) {
    bad_input("destination must be a directory that is there: ", directory)
  }
  about <- service$capabilities()
  path <- file.path(directory, paste0(gsub("[^A-Za-z0-9._-]", "_", about$name), ".R"))
  writeLines(client_source(about), path, useBytes = TRUE)
  message("Wrote ", path)
  invisible(path)
}

client_source <- function(about) {
  names <- names_of(about$inputs)
  arguments <- paste(c(vapply(names, r_name, ""), "host", "token"), collapse = ", ")
  inputs <- if (length(names)) paste0(vapply(names, r_name, ""), " = ", vapply(about$inputs, boxed, ""), collapse = ", ")
  c(
    paste0("# Calls the service ", about$name, " ", about$version, ": ", signature_of(about$inputs), " -> ",
           signature_of(about$outputs), "."),
    "# Needs the R packages curl and jsonlite. `host` is the server's address, such as http://localhost:12800, `token` an",
    "# access token: what POST /login answers.",
    paste0(r_name(about$operation_id), " <- function(", arguments, ") {"),
    paste0("  body <- list(", inputs, ")"),
    "  body <- jsonlite::toJSON(body, dataframe = \"columns\", auto_unbox = TRUE, digits = NA, na = \"null\")",
    if (!length(names)) "  body <- \"{}\"",
    "  handle <- curl::new_handle(copypostfields = as.character(body))",
    "  curl::handle_setheaders(handle, \"Content-Type\" = \"application/json\", Authorization = paste(\"Bearer\", token))",
    paste0("  response <- curl::curl_fetch_memory(paste0(host, ", deparse(about$api), "), handle)"),
    "  answer <- jsonlite::fromJSON(rawToChar(response$content))",
    "  if (response$status_code != 200) stop(answer$message)",
    "  if (!answer$success) stop(answer$errorMessage)",
    "  answer$outputParameters",
    "}"
  )
}

# How jsonlite is told that a vector of length one is an array.
boxed <- function(definition) {
  name <- r_name(definition$name)
  if (definition$type == "vector") paste0("I(", name, ")") else name
}
