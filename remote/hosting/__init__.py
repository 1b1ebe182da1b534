"""The page as it is served to others: what there is at which address, and what strangers may not do."""
