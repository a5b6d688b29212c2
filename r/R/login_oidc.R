#' Log in with a token of an OpenID Connect issuer
#'
#' @description
#' As [remoteLogin()], for servers that take their users from Azure Active Directory or any other OpenID Connect issuer:
#' the issuer gives a token, and this function brings it to the server. The token is renewed by itself where the issuer
#' allows it. There are three ways to it:
#'
#' * Neither `username` nor `password`: the *device code*. You are shown an address and a code, to open in any browser.
#' * `username` and `password`: they are sent to the issuer, which must allow that for this client.
#' * `password` alone: it is taken for an access token that you have already, for example in a pipeline.
#'
#' @inheritParams remoteLogin
#' @param authuri Address of the issuer, without the tenant: `"https://login.microsoftonline.com"` if `NULL`.
#' @param tenantid The tenant, which is added to `authuri`. `NULL` for issuers that have none.
#' @param clientid The id under which this client is registered with the issuer. Not needed with a token.
#' @param resource The id of the server as the issuer knows it: the audience of the token.
#' @param username,password See above.
#' @return `TRUE`, invisibly.
#' @seealso [remoteLogin()]
#' @examples
#' \dontrun{
#' remoteLoginAAD(
#'   "https://gristmill.example.com",
#'   authuri = "https://login.microsoftonline.com", tenantid = "example.com",
#'   clientid = "00000000-0000-0000-0000-000000000000", resource = "api://gristmill", session = FALSE
#' )
#' }
#' @export
remoteLoginAAD <- function(deployr_endpoint, authuri = NULL, tenantid = NULL, clientid = NULL, resource = NULL,
                           session = TRUE, diff = TRUE, commandline = TRUE, prompt = "REMOTE> ", username = NULL,
                           password = NULL) {
  endpoint <- checked_endpoint(deployr_endpoint)
  if (is.null(username) && !is.null(password)) {
    tokens <- new_tokens(password, Inf)
  } else {
    if (is.null(clientid)) bad_input("clientid is needed: the id under which this client is registered with the issuer.")
    issuer <- paste(c(sub("/+$", "", authuri %||% "https://login.microsoftonline.com"), tenantid), collapse = "/")
    tokens <- issuer_tokens(discovered(issuer), clientid, resource, username, password)
  }
  connection <- new_connection(endpoint, username %||% claimed_name(tokens$access), tokens)
  # The server has not seen the token yet; a refusal is told here, and not by the first thing that you do.
  send(connection, "GET", "/services", query = list())
  begin(connection, session, diff, commandline, prompt)
}

# The issuer's own description of itself.
discovered <- function(issuer) {
  response <- exchange("GET", paste0(issuer, "/.well-known/openid-configuration"))
  found <- if (response$status == 200L) tryCatch(parse_json(response$content), error = function(condition) NULL)
  if (is.null(found$token_endpoint)) {
    bad_input(issuer, " does not describe itself as an OpenID Connect issuer; check authuri and tenantid.")
  }
  found
}

issuer_tokens <- function(issuer, clientid, resource, username, password) {
  fields <- list(client_id = clientid, resource = resource, scope = "openid profile offline_access")
  if (is.null(username)) {
    answer <- by_device_code(issuer, fields)
  } else {
    password <- password %||% ask_secret("Password: ")
    answer <- ask_issuer(issuer$token_endpoint, c(fields, grant_type = "password", username = username, password = password))
    if (!is.null(answer$error)) issuer_refused(answer)
  }
  tokens_from_issuer(issuer, clientid, resource, answer)
}

# The answer's JSON, whatever its status: OAuth tells errors in the body.
ask_issuer <- function(url, fields) {
  fields <- fields[!vapply(fields, is.null, NA)]
  content_of(exchange("POST", url, do.call(pairs_body, fields)))
}

issuer_refused <- function(answer) {
  abort("gristmill_wrong_password", paste0("the issuer refused: ", answer$error_description %||% answer$error),
        "Check the user, the password, clientid and resource; or leave out username and password for the device code.")
}

by_device_code <- function(issuer, fields) {
  if (is.null(issuer$device_authorization_endpoint)) {
    bad_input("this issuer offers no device code; give username and password, or a token as password.")
  }
  device <- ask_issuer(issuer$device_authorization_endpoint, fields)
  if (is.null(device$device_code)) issuer_refused(device)
  message(device$message %||% paste0(
    "Open ", device$verification_uri_complete %||% device$verification_uri, " and enter the code ", device$user_code
  ))
  wait <- as.numeric(device$interval %||% 5)
  deadline <- seconds_now() + as.numeric(device$expires_in %||% 900)
  asked <- list(
    grant_type = "urn:ietf:params:oauth:grant-type:device_code", client_id = fields$client_id,
    device_code = device$device_code
  )
  repeat {
    Sys.sleep(wait)
    answer <- ask_issuer(issuer$token_endpoint, asked)
    if (is.null(answer$error)) return(answer)
    if (!answer$error %in% c("authorization_pending", "slow_down") || seconds_now() > deadline) issuer_refused(answer)
    if (answer$error == "slow_down") wait <- wait + 5
  }
}

# Where the access token is no JWT, only the id token can be checked by somebody else.
tokens_from_issuer <- function(issuer, clientid, resource, answer) {
  access <- answer$access_token
  if (!is_jwt(access) && is_jwt(answer$id_token)) access <- answer$id_token
  renew <- function(tokens) {
    fields <- list(grant_type = "refresh_token", refresh_token = tokens$refresh, client_id = clientid, resource = resource)
    renewed <- ask_issuer(issuer$token_endpoint, fields)
    if (!is.null(renewed$error)) abort("gristmill_not_authenticated", renewed$error)
    renewed$refresh_token <- renewed$refresh_token %||% tokens$refresh
    tokens_from_issuer(issuer, clientid, resource, renewed)
  }
  new_tokens(access, as.numeric(answer$expires_in %||% 3600), refresh = answer$refresh_token,
             renew = if (!is.null(answer$refresh_token)) renew)
}

is_jwt <- function(token) is_string(token) && length(strsplit(token, ".", fixed = TRUE)[[1L]]) == 3L

# Who the token says that you are, for messages only.
claimed_name <- function(token) {
  claims <- tryCatch({
    middle <- chartr("-_", "+/", strsplit(token, ".", fixed = TRUE)[[1L]][2L])
    parse_json(jsonlite::base64_dec(paste0(middle, strrep("=", -nchar(middle) %% 4L))))
  }, error = function(condition) NULL)
  claims$preferred_username %||% claims$upn %||% claims$email %||% claims$sub %||% "you"
}
