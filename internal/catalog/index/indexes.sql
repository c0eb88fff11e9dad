-- Made once the tables are filled for the first time, which is twice as fast.
CREATE INDEX IF NOT EXISTS note_bad ON note (kind) WHERE bad;
CREATE INDEX IF NOT EXISTS image_name ON image (name, baked);
CREATE INDEX IF NOT EXISTS image_owner ON image (owner);
CREATE INDEX IF NOT EXISTS image_lifecycle ON image (lifecycle);
CREATE INDEX IF NOT EXISTS image_expires ON image (expires) WHERE expires > 0;
CREATE INDEX IF NOT EXISTS image_packageset ON image (packageset);
CREATE INDEX IF NOT EXISTS tag_image ON tag (image);
CREATE INDEX IF NOT EXISTS image_layer_layer ON image_layer (layer);
CREATE INDEX IF NOT EXISTS packageset_package_package ON packageset_package (package);
CREATE INDEX IF NOT EXISTS manifest_repo ON manifest (repo, subject);
CREATE INDEX IF NOT EXISTS manifest_digest ON manifest (digest);
CREATE INDEX IF NOT EXISTS image_config ON image (config);
CREATE INDEX IF NOT EXISTS part_blob ON part (blob);
