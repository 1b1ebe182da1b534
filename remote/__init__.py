"""Modal: training, batched inference and the hosted app, as functions that run in the cloud.

`app.py` is what is deployed; `client.py` is what the page and the command line call. Only this room imports modal, and
`client.py` only when it is first asked for something: without an account nothing here is ever touched.
"""
