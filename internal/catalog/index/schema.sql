-- What notes there are, so that only what has changed is read again. A shard with changed = 0 is looked through always.
CREATE TABLE shard (kind TEXT, name TEXT, changed INTEGER NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE TABLE note (
	kind TEXT, shard TEXT, key TEXT, inode INTEGER NOT NULL, changed INTEGER NOT NULL,
	bad INTEGER NOT NULL, -- it can't be read, or what it leads to
	PRIMARY KEY (kind, shard, key)
) WITHOUT ROWID;

-- Digests are 32 bytes, times nanoseconds since 1970, 0 for none.
CREATE TABLE image (
	id INTEGER PRIMARY KEY,
	digest BLOB NOT NULL UNIQUE, config BLOB,
	name TEXT NOT NULL, arch TEXT NOT NULL, owner TEXT NOT NULL, lifecycle TEXT NOT NULL, by TEXT NOT NULL,
	baked INTEGER NOT NULL, expires INTEGER NOT NULL,
	parent BLOB, -- digest
	size INTEGER NOT NULL, layers INTEGER NOT NULL, packages INTEGER NOT NULL,
	packageset INTEGER NOT NULL, origin TEXT NOT NULL
);

CREATE TABLE tag (ref TEXT PRIMARY KEY, image BLOB NOT NULL) WITHOUT ROWID;

-- What repositories have; key is that of its note.
CREATE TABLE manifest (key TEXT PRIMARY KEY, repo TEXT NOT NULL, digest BLOB NOT NULL, subject BLOB) WITHOUT ROWID;

CREATE TABLE part (key TEXT, blob BLOB, PRIMARY KEY (key, blob)) WITHOUT ROWID; -- of manifests that are no images

CREATE TABLE layer (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, size INTEGER NOT NULL);
CREATE TABLE image_layer (image INTEGER, position INTEGER, layer INTEGER NOT NULL, PRIMARY KEY (image, position)) WITHOUT ROWID;

-- Many images have the very same packages.
CREATE TABLE package (
	id INTEGER PRIMARY KEY, name TEXT, version TEXT, arch TEXT, source TEXT, source_version TEXT, origin TEXT,
	UNIQUE (name, version, arch, source, source_version, origin)
);
CREATE TABLE packageset (id INTEGER PRIMARY KEY, sum BLOB NOT NULL UNIQUE);
CREATE TABLE packageset_package (packageset INTEGER, package INTEGER, PRIMARY KEY (packageset, package)) WITHOUT ROWID;
