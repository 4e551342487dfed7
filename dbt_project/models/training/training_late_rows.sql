{{ late_rows(ref('int_training__cutoffs')) }}
