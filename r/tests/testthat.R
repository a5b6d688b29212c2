library(testthat)
library(gristmill)

test_check("gristmill")
