-- worker_gone(instance text)
DELETE FROM worker_instance WHERE instance = $1
