"""The work that needs a process of its own: Locust, which patches its whole process, and Evidently, which is heavy."""
