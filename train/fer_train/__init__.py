"""fer_train: facial-expression networks trained from scratch."""
