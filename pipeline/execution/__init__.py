"""Where and how work runs: tasks, the dispatcher, in this process or on Ray Tune."""
