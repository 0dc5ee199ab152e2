/**
 * The tables of a book (FORMAT.md, "Storage"). A commit is one or several rows of `bundle`; nothing here is trusted
 * when a book is verified. The triggers are guard rails against our own mistakes: an attacker drops them. Replacing
 * a row fires what guards its deletion, for the writer has `recursive_triggers` on.
 */
import { FORMAT } from './kinds.ts'

export const APPLICATION_ID = 0x47617465

export const SCHEMA = `
PRAGMA application_id = ${APPLICATION_ID};
PRAGMA user_version = ${FORMAT};
CREATE TABLE bundle(first INTEGER PRIMARY KEY, count INTEGER NOT NULL CHECK(count BETWEEN 1 AND 512),
  codec INTEGER NOT NULL CHECK(codec IN (0,1)), crc INTEGER NOT NULL, leaves BLOB NOT NULL) STRICT;
CREATE TABLE tile(level INTEGER NOT NULL, n INTEGER NOT NULL, hashes BLOB NOT NULL CHECK(length(hashes)=8192),
  PRIMARY KEY(level,n)) STRICT;
CREATE TABLE payload(sid TEXT NOT NULL, i INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE(sid,i)) STRICT;
CREATE TABLE head(one INTEGER PRIMARY KEY CHECK(one=1), note TEXT NOT NULL) STRICT;
CREATE TABLE ckpt(size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;
CREATE TABLE cosig(size INTEGER NOT NULL, name TEXT NOT NULL, line TEXT NOT NULL, PRIMARY KEY(size,name))
  STRICT, WITHOUT ROWID;
CREATE TABLE kept(seq INTEGER PRIMARY KEY, leaf BLOB NOT NULL) STRICT;
CREATE TABLE erased(sid TEXT NOT NULL, i INTEGER, seq INTEGER NOT NULL) STRICT;
CREATE TABLE prune(below INTEGER PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
CREATE TABLE journal(file INTEGER PRIMARY KEY, size INTEGER NOT NULL, batch INTEGER NOT NULL) STRICT;
CREATE TABLE deletion(seq INTEGER PRIMARY KEY, scope TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX erased_sid ON erased(sid);

CREATE TRIGGER bundle_next BEFORE INSERT ON bundle WHEN NEW.first IS NOT
  (SELECT coalesce((SELECT first+count FROM bundle ORDER BY first DESC LIMIT 1),0))
  BEGIN SELECT RAISE(ABORT,'not the next record'); END;
CREATE TRIGGER bundle_upd BEFORE UPDATE ON bundle BEGIN SELECT RAISE(ABORT,'append-only'); END;
CREATE TRIGGER bundle_del BEFORE DELETE ON bundle
  WHEN OLD.first+OLD.count > coalesce((SELECT max(below) FROM prune),0)
  BEGIN SELECT RAISE(ABORT,'append-only'); END;
CREATE TRIGGER payload_upd BEFORE UPDATE ON payload BEGIN SELECT RAISE(ABORT,'append-only'); END;
CREATE TRIGGER payload_del BEFORE DELETE ON payload
  WHEN NOT EXISTS(SELECT 1 FROM erased e WHERE e.sid=OLD.sid AND (e.i IS NULL OR e.i=OLD.i))
  BEGIN SELECT RAISE(ABORT,'no erase record'); END;
CREATE TRIGGER tile_upd BEFORE UPDATE ON tile BEGIN SELECT RAISE(ABORT,'append-only'); END;
CREATE TRIGGER tile_del BEFORE DELETE ON tile BEGIN SELECT RAISE(ABORT,'append-only'); END;
CREATE TRIGGER ckpt_upd BEFORE UPDATE ON ckpt BEGIN SELECT RAISE(ABORT,'append-only'); END;
CREATE TRIGGER ckpt_del BEFORE DELETE ON ckpt BEGIN SELECT RAISE(ABORT,'append-only'); END;
CREATE TRIGGER kept_upd BEFORE UPDATE ON kept BEGIN SELECT RAISE(ABORT,'append-only'); END;
CREATE TRIGGER kept_del BEFORE DELETE ON kept BEGIN SELECT RAISE(ABORT,'append-only'); END;
`
