"""How much one address, one certificate and one account may ask for.

Before a signature is verified only the address is charged, so that nobody can use up a merchant's share by naming its
account. Windows slide; they are counted by the `limits` library, in this process or in a Redis that all workers share.
"""
