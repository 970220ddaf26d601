"""The notebook's side: submits trainings, evaluations and predictions, and takes what they bring."""
