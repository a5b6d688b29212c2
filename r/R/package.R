#' @description
#' Log in with [remoteLogin()], publish a model with [publishService()], and call it through the object that comes back
#' ([service-object]). Work on the server itself with [remoteExecute()], or at the prompt of [remoteCommandLine()]. The names,
#' arguments and defaults are those of Microsoft's mrsdeploy. What goes wrong is a condition with a class:
#' [gristmill-conditions].
#' @importFrom R6 R6Class
#' @keywords internal
"_PACKAGE"
