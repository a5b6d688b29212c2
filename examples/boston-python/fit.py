"""Fit a random forest to Boston's housing data and save it. Run once, on your own machine: python fit.py"""

from pathlib import Path

import joblib
import pandas
from sklearn.ensemble import RandomForestRegressor

HERE = Path(__file__).parent

# The model: median house price as a function of the other variables.
boston = pandas.read_csv(HERE.parent / "boston" / "boston.csv")
features = boston.drop(columns="medv")
model = RandomForestRegressor(n_estimators=100, random_state=1978).fit(features, boston["medv"])
joblib.dump(model, HERE / "bos_rf.joblib", compress=3)

# Ten rows with what the model makes of them here; deploy.py sees that the service makes the same.
check = features.head(10).assign(pred=model.predict(features.head(10)))
check.to_csv(HERE / "check.csv", index=False, float_format="%.17g")
print(f"bos_rf.joblib: RandomForestRegressor, {model.n_estimators} trees, on {len(boston)} rows")
