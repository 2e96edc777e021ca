-- +goose Up
CREATE TABLE chat_messages (
	stream    TEXT   NOT NULL,
	id        TEXT   NOT NULL,
	at        BIGINT NOT NULL,
	user_id   TEXT   NOT NULL,
	user_name TEXT   NOT NULL,
	role      TEXT   NOT NULL,
	origin    TEXT   NOT NULL,
	ref       TEXT   NOT NULL,
	text      TEXT   NOT NULL,
	deleted   BIGINT NOT NULL,
	PRIMARY KEY (stream, id)
);
CREATE INDEX chat_messages_at ON chat_messages (stream, at);
CREATE TABLE chat_bans (
	stream   TEXT   NOT NULL,
	user_id  TEXT   NOT NULL,
	origin   TEXT   NOT NULL,
	until    BIGINT NOT NULL,
	reason   TEXT   NOT NULL,
	actor    TEXT   NOT NULL,
	at       BIGINT NOT NULL,
	PRIMARY KEY (stream, user_id)
);
CREATE TABLE chat_rooms (
	stream    TEXT   NOT NULL PRIMARY KEY,
	slow      BIGINT NOT NULL,
	no_links  BIGINT NOT NULL,
	followers BIGINT NOT NULL,
	no_guests BIGINT NOT NULL
);
CREATE TABLE audit_log (
	id     TEXT   NOT NULL PRIMARY KEY,
	stream TEXT   NOT NULL,
	at     BIGINT NOT NULL,
	actor  TEXT   NOT NULL,
	action TEXT   NOT NULL,
	target TEXT   NOT NULL,
	detail TEXT   NOT NULL
);
CREATE INDEX audit_log_at ON audit_log (stream, at);
CREATE TABLE chat_recordings (
	recording TEXT   NOT NULL PRIMARY KEY,
	stream    TEXT   NOT NULL,
	started   BIGINT NOT NULL,
	ended     BIGINT NOT NULL,
	node      TEXT   NOT NULL,
	seen      BIGINT NOT NULL
);
CREATE INDEX chat_recordings_stream ON chat_recordings (stream, started);

-- +goose Down
DROP TABLE chat_recordings;
DROP TABLE audit_log;
DROP TABLE chat_rooms;
DROP TABLE chat_bans;
DROP TABLE chat_messages;
