"""The tables of the store, as the steps that made them: a new file takes all of them, an older one what it lacks.

A step, once released, is never changed; a new version is a new step at the end.
"""

FILE = "explorer.sqlite"
APPLICATION_ID = 0x4558504C  # "EXPL": tells our file from another program's database

_FIRST = """
CREATE TABLE networks (
  digest TEXT PRIMARY KEY, canonical TEXT NOT NULL, text TEXT NOT NULL, input TEXT NOT NULL,
  params INTEGER NOT NULL, macs INTEGER NOT NULL, activations INTEGER NOT NULL,
  depth INTEGER NOT NULL, chain INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE data (
  fingerprint TEXT PRIMARY KEY, name TEXT NOT NULL, shape TEXT NOT NULL, classes INTEGER NOT NULL,
  train INTEGER NOT NULL, validation INTEGER NOT NULL, test INTEGER NOT NULL,
  description TEXT NOT NULL, evidence TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, created TEXT NOT NULL, command TEXT NOT NULL, config TEXT NOT NULL,
  UNIQUE (command, config)
);
CREATE TABLE candidates (
  run INTEGER NOT NULL REFERENCES runs, position INTEGER NOT NULL, text TEXT NOT NULL, base TEXT NOT NULL,
  scales TEXT, network TEXT NOT NULL REFERENCES networks,
  PRIMARY KEY (run, position)
) WITHOUT ROWID;
CREATE TABLE members (
  run INTEGER NOT NULL REFERENCES runs, trial TEXT NOT NULL, -- planned: the trial may not be there yet
  PRIMARY KEY (run, trial)
) WITHOUT ROWID;
CREATE TABLE trials (
  id TEXT PRIMARY KEY, network TEXT NOT NULL REFERENCES networks, data TEXT NOT NULL REFERENCES data,
  recipe TEXT NOT NULL, seed INTEGER NOT NULL, budget TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('done', 'diverged', 'failed')), message TEXT,
  epochs INTEGER, steps INTEGER, train_error REAL, train_loss REAL,
  validation_error REAL, best_validation_error REAL, best_epoch INTEGER, test_error REAL, test_loss REAL,
  seconds REAL, environment TEXT NOT NULL, started TEXT NOT NULL, finished TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE history (
  trial TEXT NOT NULL REFERENCES trials ON DELETE CASCADE, epoch INTEGER NOT NULL, seconds REAL NOT NULL,
  lr REAL NOT NULL, train_loss REAL, train_error REAL, validation_loss REAL, validation_error REAL,
  PRIMARY KEY (trial, epoch)
) WITHOUT ROWID;
"""

# environments stand once, not in every trial; measurements on devices
_ENVIRONMENTS_AND_MEASUREMENTS = """
CREATE TABLE environments (digest TEXT PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO environments SELECT DISTINCT sha256(environment), environment FROM trials;
CREATE TABLE new_trials (
  id TEXT PRIMARY KEY, network TEXT NOT NULL REFERENCES networks, data TEXT NOT NULL REFERENCES data,
  recipe TEXT NOT NULL, seed INTEGER NOT NULL, budget TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('done', 'diverged', 'failed')), message TEXT,
  epochs INTEGER, steps INTEGER, train_error REAL, train_loss REAL,
  validation_error REAL, best_validation_error REAL, best_epoch INTEGER, test_error REAL, test_loss REAL,
  seconds REAL, environment TEXT NOT NULL REFERENCES environments, started TEXT NOT NULL, finished TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO new_trials
  SELECT id, network, data, recipe, seed, budget, status, message, epochs, steps, train_error, train_loss,
    validation_error, best_validation_error, best_epoch, test_error, test_loss, seconds, sha256(environment),
    started, finished FROM trials;
DROP TABLE trials;
ALTER TABLE new_trials RENAME TO trials;
CREATE TABLE measurements (
  id TEXT PRIMARY KEY, network TEXT NOT NULL REFERENCES networks, setting TEXT NOT NULL, numbers TEXT NOT NULL,
  environment TEXT NOT NULL REFERENCES environments, measured TEXT NOT NULL
) WITHOUT ROWID;
"""

# what was looked at while a network was trained; epoch 0 is before the first step
_OBSERVATIONS = """
CREATE TABLE observations (
  trial TEXT NOT NULL REFERENCES trials ON DELETE CASCADE, epoch INTEGER NOT NULL, name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (trial, epoch, name)
) WITHOUT ROWID;
"""

STEPS = (_FIRST, _ENVIRONMENTS_AND_MEASUREMENTS, _OBSERVATIONS)
VERSION = len(STEPS)


def statements(version: int) -> list[str]:
    """What makes a store of `version` (0: an empty file) one of VERSION; sha256(text) is a function of ours."""
    return [statement for step in STEPS[version:] for statement in step.split(";\n") if statement.strip()]
