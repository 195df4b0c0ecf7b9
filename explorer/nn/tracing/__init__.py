"""Any torch module as a record of its operations: run once without values, watched where torch dispatches."""
