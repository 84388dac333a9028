"""int8: calibration, weight rounding, QDQ nodes, and layers kept in fp32 within the accuracy budget."""
