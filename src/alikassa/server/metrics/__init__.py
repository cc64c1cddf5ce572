"""What the server counts of itself, for Prometheus.

Each process counts in plain memory, and once a second writes its totals to a file of its own; the operator's process
adds them up when it is scraped. Nothing is known of an account, a certificate or an address: labels are words from
closed sets.
"""
