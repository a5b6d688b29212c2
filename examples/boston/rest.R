# Gristmill's REST interface from R, with httr and jsonlite: what publish.R and score.R share.

server <- Sys.getenv("GRISTMILL_URL", "http://127.0.0.1:12800")

# The parsed body of a response. A refusal stops the script with the server's own words.
answer <- function(response) {
    text <- httr::content(response, "text", encoding = "UTF-8")
    parsed <- if (nzchar(text)) jsonlite::fromJSON(text)
    if (httr::status_code(response) >= 400)
        stop(sprintf("%d: %s", httr::status_code(response), parsed$message), call. = FALSE)
    parsed
}

# JSON as the server wants it: values of length 1 as scalars, data frames by column, numbers in full.
as_json <- function(value)
    jsonlite::toJSON(value, auto_unbox = TRUE, dataframe = "columns", digits = NA, na = "null")

# Log in; returns the header that every other call carries.
log_in <- function(user = Sys.getenv("GRISTMILL_USERNAME", "admin"), password = Sys.getenv("GRISTMILL_PASSWORD")) {
    tokens <- answer(httr::POST(paste0(server, "/login"), httr::content_type_json(),
                                body = as_json(list(username = user, password = password))))
    httr::add_headers(Authorization = paste("Bearer", tokens$access_token))
}
