"""Run by `gristmill demo`, which shows it from the fourth line on."""
# mypy: disable-error-code="type-arg, no-any-return"

import pandas
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import gristmill

flowers = load_iris(as_frame=True)
model = LogisticRegression(max_iter=1000).fit(flowers.data, flowers.target_names[flowers.target])


def species(measures: pandas.DataFrame) -> list:
    """Species of irises, by their measures."""
    return model.predict(measures)


gristmill.connect()
iris = gristmill.publish("iris", species, models={"model": model}, inputs=flowers.data, version="1.0")
print(iris.species(flowers.data.head(3)).output())
