# Rscript realtime_models.R PACKAGE FOLDER: fit a model of each kind, serialize it by the R package whose source is in
# PACKAGE, and score 1,000 new rows by R's own predict(). Writes NAME.blob, and NAME.json with rows and scores; NAME.skipped
# where R lacks the package that fits it. With "names" as FOLDER it prints the names only.
arguments <- commandArgs(TRUE)
gristmill <- new.env()
sources <- list.files(file.path(arguments[1], "R"), "^(conditions|json_encode|serialize.*)[.]R$", full.names = TRUE)
for (file in sources) sys.source(file, gristmill)

set.seed(20)
draw <- function(n) {
  data.frame(
    x = rnorm(n), z = runif(n, 1, 3), f = sample(letters[1:4], n, TRUE), l = runif(n) > 0.5,
    n = sample(c(4, 6, 8.5), n, TRUE), o = sample(c("lo", "mid", "hi"), n, TRUE), "a b" = rnorm(n, 50, 20),
    check.names = FALSE, stringsAsFactors = FALSE
  )
}
typed <- function(d) {
  d$f <- factor(d$f)
  d$o <- factor(d$o, c("lo", "mid", "hi"), ordered = TRUE)
  d
}
d <- draw(600)
d$y <- with(d, x + match(f, letters) * z + l + `a b` / 20 + rnorm(600))
d$pos <- exp(d$x / 3 + d$z / 4 + rnorm(600) / 5)
d$count <- rpois(600, exp(d$x / 2))
d$class <- factor(ifelse(d$y > 9, "hi", ifelse(d$y > 6, "mid", "lo")))
d$b <- factor(d$y > 7, labels = c("no", "yes"))
d$yes <- as.integer(d$b) - 1
text <- d
d <- typed(d)
d$holes <- replace(d$x, sample(600, 60), NA)

# New rows: wider than the old ones, a tenth of each column missing; `odd` has levels that no model has seen.
rows <- draw(1000)
rows$x <- rows$x * 3
rows$holes <- rows$x
rows <- as.data.frame(lapply(rows, function(v) replace(v, sample(1000, 100), NA)), optional = TRUE, stringsAsFactors = FALSE)
complete <- rows[rowSums(is.na(rows)) == 0, ]
complete <- complete[rep_len(seq_len(nrow(complete)), 1000), ]
complete$x <- complete$x + rnorm(1000)
odd <- function(rows) {
  rows$f[sample(1000, 50)] <- "not seen"
  rows
}

score <- function(...) function(m, r) list(Score = as.vector(predict(m, r, ...)))
chances <- function(p, label) {
  names <- colnames(p)
  c(list(PredictedLabel = as.character(label)), setNames(lapply(names, function(k) as.vector(p[, k])), paste0("Probability.", names)))
}
two <- function(p, levels) {
  p <- as.vector(p)
  chances(matrix(c(1 - p, p), length(p), dimnames = list(NULL, levels)), ifelse(p > 0.5, levels[2], levels[1]))
}
first <- function(p) colnames(p)[apply(p, 1, function(row) if (anyNA(row)) NA else which.max(row))]

cases <- list()
case <- function(name, package, fit, score, rows = NULL, options = list()) {
  force(options)
  cases[[name]] <<- list(package = package, fit = fit, score = score, rows = rows, options = options)
}
linear <- function(name, formula, data = d, ...) case(name, "stats", function() lm(formula, data, ...), score())
general <- function(name, formula, family, data = d, start = NULL) {
  force(family)
  case(name, "stats", function() suppressWarnings(glm(formula, family, data, start = start)), score(type = "response"))
}
linear("lm-numbers", y ~ x + z + n + `a b`)
linear("lm-terms", y ~ x * f + log(z):l + factor(n) + I(x^2) + poly(z, 3) + scale(x) + sqrt(z) * o + offset(exp(x / 9) + z))
linear("lm-calls", y ~ ifelse(x > 0 & l, x, -z) + (f == "b"):z + I(z > 2 | x < 0) + log(z, 3) + log1p(z) + expm1(x / 4) + I(-x^3 / z))
linear("lm-contrasts", y ~ f * o + l, contrasts = list(f = "contr.sum", o = "contr.helmert"))
linear("lm-contrast-matrix", y ~ f + o, contrasts = list(f = matrix(c(1, 0, -1, 0, 0.5, 0.5, -0.5, -0.5), 4)))
linear("lm-no-intercept", y ~ f:x + l + o - 1)
linear("lm-rank-deficient", y ~ x + I(2 * x) + f)
linear("lm-text", y ~ f * o + poly(x, 2, raw = TRUE) + as.factor(n), text)
general("glm-gaussian-log", pos ~ x + z + f, gaussian("log"))
for (link in c("logit", "probit", "cauchit", "cloglog")) general(paste0("glm-binomial-", link), b ~ x * f + `a b`, binomial(link))
general("glm-binomial-log", yes ~ x, binomial("log"), start = c(-2, 0))
for (link in c("log", "identity", "sqrt")) {
  general(paste0("glm-poisson-", link), count ~ x + f, poisson(link), start = c(1, rep(0, 4)))
}
for (link in c("inverse", "log", "identity")) general(paste0("glm-Gamma-", link), pos ~ z + f, Gamma(link))
general("glm-inverse-gaussian", pos ~ z + f, inverse.gaussian())
general("glm-quasi-power", pos ~ z + f, quasi(link = power(1 / 3), variance = "mu"))
general("glm-quasibinomial", yes ~ x + f, quasibinomial())
general("glm-quasipoisson", count ~ x + f, quasipoisson())

trees <- y ~ holes + x + z + f + l + n + o
case("rpart-anova", "rpart", function() rpart::rpart(trees, d, cp = 0.001), score())
case("rpart-surrogates-only", "rpart", function() rpart::rpart(update(trees, . ~ . + log(z)), d, usesurrogate = 1), score())
case("rpart-no-surrogates", "rpart", function() rpart::rpart(trees, d, usesurrogate = 0), score())
case("rpart-poisson", "rpart", function() rpart::rpart(update(trees, count ~ .), d, method = "poisson", cp = 0.001), score(type = "vector"))
case("rpart-class", "rpart", function() {
  rpart::rpart(update(trees, class ~ .), d, cp = 0.001, parms = list(loss = matrix(c(0, 1, 2, 3, 0, 1, 2, 1, 0), 3)))
}, function(m, r) chances(predict(m, r, type = "prob"), predict(m, r, type = "class")))

votes <- function(m, r) chances(unclass(predict(m, r, type = "prob")), predict(m, r))
forest <- function(...) randomForest::randomForest(..., ntree = 100)
plain <- y ~ x + z + f + l + n + o
case("randomForest-regression", "randomForest", function() forest(plain, d), score())
case("randomForest-corrected", "randomForest", function() forest(plain, d, corr.bias = TRUE), score())
case("randomForest-classification", "randomForest", function() forest(update(plain, class ~ .), d), votes)
case("randomForest-matrix", "randomForest", function() forest(d[c("x", "f", "n", "l")], d$class), function(m, r) votes(m, r[c("x", "f", "n", "l")]), complete)

boosted <- function(name, formula, distribution, score, options = list()) {
  case(name, "gbm", function() {
    suppressWarnings(gbm::gbm(formula, data = d, distribution = distribution, n.trees = 60, interaction.depth = 4))
  }, score, odd(rows), options)
}
upto <- function(n, type = "link") score(n.trees = n, type = type)
boosted("gbm-gaussian", y ~ holes + log(z) + f + n + o, "gaussian", upto(60))
boosted("gbm-bernoulli", yes ~ x + z + f + n + o, "bernoulli", upto(33, "response"), list(n.trees = 33))
boosted("gbm-poisson", count ~ x + z + f + n + o, "poisson", upto(60, "response"))
boosted("gbm-laplace", y ~ holes + z + f, "laplace", upto(60))
boosted("gbm-quantile", y ~ x + z + f, list(name = "quantile", alpha = 0.2), upto(60))
boosted("gbm-tdist", y ~ x + z + f, "tdist", upto(60))
boosted("gbm-huberized", yes ~ x + z + f, "huberized", upto(60))
boosted("gbm-adaboost", yes ~ x + z + f, "adaboost", upto(60, "response"))
boosted("gbm-multinomial", class ~ x + z + f + o, "multinomial", function(m, r) {
  p <- predict(m, r, n.trees = 60, type = "response")[, , 1]
  chances(p, first(p))
})

net <- function(...) nnet::nnet(..., trace = FALSE, maxit = 80)
case("nnet-regression", "nnet", function() net(y ~ x * f + z + o, d, size = 5, linout = TRUE), score())
case("nnet-logistic", "nnet", function() net(yes ~ x + z + f, d, size = 3), score())
case("nnet-entropy", "nnet", function() net(b ~ x + poly(z, 2) + f, d, size = 3), function(m, r) two(predict(m, r), c("no", "yes")))
case("nnet-softmax", "nnet", function() net(class ~ x * f + z, d, size = 4, skip = TRUE), function(m, r) {
  chances(predict(m, r), first(predict(m, r)))
})
case("multinom", "nnet", function() nnet::multinom(class ~ x * f + log(z), d, trace = FALSE), function(m, r) {
  chances(predict(m, r, type = "probs"), predict(m, r))
})
case("multinom-two-classes", "nnet", function() nnet::multinom(b ~ x * f + scale(z), d, trace = FALSE), function(m, r) {
  two(predict(m, r, type = "probs"), c("no", "yes"))
})
posterior <- function(m, r) {
  found <- suppressWarnings(predict(m, r))
  chances(found$posterior, found$class)
}
case("lda", "MASS", function() MASS::lda(class ~ x + z + f + I(x * z), d), posterior)
case("lda-matrix", "MASS", function() MASS::lda(as.matrix(d[c("x", "z")]), d$class), function(m, r) posterior(m, as.matrix(r[c("x", "z")])))

for (how in c("ignore", "order", "partition")) local({
  how <- how
  fitted <- function(...) ranger::ranger(..., num.trees = 60, respect.unordered.factors = how, num.threads = 1)
  here <- if (how == "order") odd(complete) else complete
  given <- function(m, r, ...) predict(m, r, num.threads = 1, ...)$predictions
  of <- update(plain, class ~ .)
  case(paste0("ranger-regression-", how), "ranger", function() fitted(plain, d), function(m, r) list(Score = given(m, r)), here)
  case(paste0("ranger-probability-", how), "ranger", function() fitted(of, d, probability = TRUE), function(m, r) {
    chances(given(m, r), first(given(m, r)))
  }, here)
  case(paste0("ranger-classification-", how), "ranger", function() fitted(of, d), function(m, r) {
    each <- given(m, r, predict.all = TRUE)
    p <- vapply(1:3, function(k) rowMeans(each == k), numeric(nrow(r)))
    chances(matrix(p, ncol = 3, dimnames = list(NULL, levels(d$class))), given(m, r))
  }, here)
})

X <- as.matrix(d[c("x", "z", "n", "a b")])
penalized <- function(name, y, family, result, s = 0.03) {
  force(list(y, family))
  case(name, "glmnet", function() glmnet::glmnet(X, y, family = family), function(m, r) {
    result(predict(m, as.matrix(r[colnames(X)]), s = s, type = "response"))
  }, NULL, list(s = s))
}
one <- function(p) list(Score = as.vector(p))
penalized("glmnet-gaussian", d$y, "gaussian", one)
penalized("glmnet-poisson", d$count, "poisson", one)
penalized("glmnet-probit", d$yes, binomial("probit"), one)
penalized("glmnet-binomial", d$b, "binomial", function(p) two(p, c("no", "yes")))
penalized("glmnet-multinomial", d$class, "multinomial", function(p) chances(p[, , 1], first(p[, , 1])))
case("glmnet-cv", "glmnet", function() glmnet::cv.glmnet(X, d$y), function(m, r) one(predict(m, as.matrix(r[colnames(X)]), s = "lambda.min")), NULL, list(s = "lambda.min"))

if (arguments[2] == "names") {
  writeLines(names(cases))
  quit()
}
write_case <- function(name, case) {
  path <- function(kind) file.path(arguments[2], paste0(name, ".", kind))
  if (!requireNamespace(case$package, quietly = TRUE)) return(writeLines(case$package, path("skipped")))
  model <- case$fit()
  sample <- if (name == "lm-text") text else d
  writeBin(do.call(gristmill$serializeModel, c(list(model, sample), case$options)), path("blob"))
  new <- if (is.null(case$rows)) rows else case$rows
  expected <- case$score(model, if (name == "lm-text") new else known_levels(new, case$package))
  parts <- list(columns = gristmill$json_cells(new), expected = gristmill$json_cells(list2DF(expected)))
  writeLines(gristmill$json_object(parts), path("json"), useBytes = TRUE)
}
# Factors as predict() of each package takes them: levels that are not known come last.
known_levels <- function(rows, package) {
  rows$f <- factor(rows$f, c(letters[1:4], if (package %in% c("gbm", "ranger") && "not seen" %in% rows$f) "not seen"))
  rows$o <- factor(rows$o, c("lo", "mid", "hi"), ordered = TRUE)
  rows
}
for (name in names(cases)) {
  tryCatch(write_case(name, cases[[name]]), error = function(e) stop(name, ": ", conditionMessage(e), call. = FALSE))
}
