#!/bin/sh
# Veeam Agent for Linux: the job's pre-job script. It gets no arguments, may take 10 minutes, and the job starts whatever it says:
# so it cannot keep a job from beginning (STRICT changes nothing), and the directory is right without it. Set
# read_window in agent.toml to the hours of the job: then nothing leaves in them, hook or not.
@COMMON@
begin --client "$(uname -n)" --policy "veeam"
exit 0
