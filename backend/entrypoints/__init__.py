"""Where it starts: web, jobs, worker, scheduler, command line."""
