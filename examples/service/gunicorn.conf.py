"""gunicorn with one process and its work in threads: the shape in which free threading pays."""

import os

bind = f"0.0.0.0:{os.environ.get('PORT', '8080')}"
chdir = os.path.dirname(os.path.abspath(__file__))
worker_class = "gthread"
workers = 1
# Four of them work at a time (THREADS, see app.py); the others hold requests that wait, so that probes never queue behind them.
threads = 64
control_socket_disable = True  # it would want a folder to write to
keepalive = 30
graceful_timeout = 20
worker_tmp_dir = "/dev/shm"  # writable although the root is not
accesslog = None
errorlog = "-"
