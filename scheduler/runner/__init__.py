"""The subprocess that owns one loaded model: the only place that touches native code, so it may die without harm."""
