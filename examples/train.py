#!/usr/bin/env python3
"""A job for Weir in plain Python: copy it and put your own work where it says so.

    weir job submit --team research --slots 1..4 --name fit --checkpointable -- python3 examples/train.py

It fits y = a x + b by gradient descent, one small step at a time, and shows the whole contract
between Weir and a command (docs/formats.md has every detail):

  * WEIR_RANK and WEIR_WORLD_SIZE say which worker this is and of how many;
  * WEIR_CHECKPOINT_DIR is shared by all workers and all runs of the job: resume from it;
  * WEIR_PROGRESS_FILE takes one JSON object a line from rank 0: that is what `weir job show`,
    `weir top` and the dashboard draw;
  * SIGTERM means: save, then exit 75. The job goes on later, perhaps with another number of workers;
  * exit 0 is done, anything else is a failure, and the last lines printed are its reason.

Without Weir around it, it runs alone and saves to ./checkpoints.
"""
import json
import os
import signal
import sys
import time

RANK = int(os.environ.get("WEIR_RANK", "0"))
WORLD = int(os.environ.get("WEIR_WORLD_SIZE", "1"))
CHECKPOINTS = os.environ.get("WEIR_CHECKPOINT_DIR", "checkpoints")
PROGRESS = os.environ.get("WEIR_PROGRESS_FILE")
STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 200
SAVE_EVERY = 20
RESUME_ME = 75

stop_asked = False


def on_sigterm(_signal, _frame):
    global stop_asked
    stop_asked = True


def report(**fields):
    """One line for Weir, from rank 0 only."""
    if RANK == 0 and PROGRESS:
        with open(PROGRESS, "a", encoding="utf-8") as out:
            out.write(json.dumps(fields) + "\n")


def save(step, a, b):
    """Write beside, sync, rename: a checkpoint is there whole or not at all."""
    path = os.path.join(CHECKPOINTS, "state.json")
    with open(path + ".new", "w", encoding="utf-8") as out:
        json.dump({"step": step, "a": a, "b": b}, out)
        out.flush()
        os.fsync(out.fileno())
    os.replace(path + ".new", path)
    report(type="checkpoint", step=step, path=path)


def load():
    try:
        with open(os.path.join(CHECKPOINTS, "state.json"), encoding="utf-8") as file:
            state = json.load(file)
        return state["step"], state["a"], state["b"]
    except (OSError, ValueError, KeyError):
        return 0, 0.0, 0.0


def main():
    signal.signal(signal.SIGTERM, on_sigterm)
    os.makedirs(CHECKPOINTS, exist_ok=True)
    step, a, b = load()
    print(f"rank {RANK} of {WORLD}: from step {step}", flush=True)
    while step < STEPS:
        # ---- your work: one step. Rank r of w would take the r-th part of each batch. ----
        xs = [i / 10 for i in range(-10, 11)]
        errors = [a * x + b - (3 * x + 1) for x in xs]
        loss = sum(e * e for e in errors) / len(xs)
        a -= 0.1 * sum(2 * e * x for e, x in zip(errors, xs)) / len(xs)
        b -= 0.1 * sum(2 * e for e in errors) / len(xs)
        time.sleep(0.05)
        # -----------------------------------------------------------------------------------
        step += 1
        report(type="progress", step=step, steps=STEPS, loss=loss)
        if RANK == 0 and (step % SAVE_EVERY == 0 or step == STEPS or stop_asked):
            save(step, a, b)
        if stop_asked:
            print(f"rank {RANK}: saved at step {step}, to be resumed", flush=True)
            return RESUME_ME
    print(f"rank {RANK}: done, y = {a:.3f} x + {b:.3f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
