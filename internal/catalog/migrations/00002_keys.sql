-- +goose Up
CREATE TABLE stream_keys (
	id      TEXT   NOT NULL PRIMARY KEY,
	hash    TEXT   NOT NULL UNIQUE,
	stream  TEXT   NOT NULL,
	name    TEXT   NOT NULL,
	created BIGINT NOT NULL,
	used    BIGINT NOT NULL
);
CREATE INDEX stream_keys_stream ON stream_keys (stream, id);

-- +goose Down
DROP TABLE stream_keys;
