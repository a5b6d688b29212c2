# Trees as the server reads them: all nodes one after another, children numbered from 0 within their tree.

# Vectors of each tree → of all.
bind_trees <- function(trees) do.call(Map, c(list(c), unname(trees)))

# `nodes`: inner, feature (from 0), threshold, left, right, and `missing` where a third child takes what is missing.
# `sets`: JSON of splits by levels; `set_of`: for each node the number of its split from 1, or NA.
trees_json <- function(sizes, nodes, sets = list(), set_of = NULL) {
  inner <- nodes$inner
  at_inner <- function(x, other) json_integers(ifelse(inner, x, other))
  by_set <- if (is.null(set_of)) rep(FALSE, length(inner)) else inner & !is.na(set_of)
  list(
    sizes = json_integers(sizes), feature = at_inner(nodes$feature, -1L),
    threshold = json_numbers(ifelse(inner & !by_set, nodes$threshold, 0), "a threshold"),
    left = at_inner(nodes$left, -1L), right = at_inner(nodes$right, -1L),
    missing = if (is.null(nodes$missing)) "null" else at_inner(nodes$missing, -1L),
    split = if (any(by_set)) json_integers(ifelse(by_set, set_of - 1L, -1L)) else "null", splits = json_listed(sets)
  )
}

leaf_values <- function(nodes, values) json_listed(json_numbers(ifelse(nodes$inner, 0, values), "a prediction"))

# Columns that are factors; their codes count from 0 in the service.
coded_features <- function(scope, numbers) {
  vapply(scope$columns, function(column) column$type == "factor", NA)[numbers + 1L]
}

# Bits of a whole double, the lowest first.
bits_of <- function(x, count) x %/% 2^(seq_len(count) - 1L) %% 2 == 1
