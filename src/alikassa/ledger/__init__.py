"""The books: merchants, certificates, accounts and the immutable journal behind the four numbers."""
