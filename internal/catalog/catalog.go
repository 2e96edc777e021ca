package catalog

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// file is the SQLite database in the data directory.
	file = "catalog.db"
	// openTimeout bounds the first connection and the migrations.
	openTimeout = 30 * time.Second
	// busyTimeout is how long SQLite waits for another process with the file.
	busyTimeout = 5 * time.Second
	// poolSize bounds the connections to PostgreSQL.
	poolSize = 8
)

// Catalog is an open database.
type Catalog struct {
	db *bun.DB
}

// Open opens the database at rawURL (postgres:// or postgresql://), or the
// SQLite file in dir when it is empty, and brings its tables up to date. Errors
// never repeat the URL's password.
func Open(ctx context.Context, rawURL, dir string) (*Catalog, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	open, dialect := openSQLite, goose.DialectSQLite3
	if rawURL != "" {
		open, dialect = openPostgres, goose.DialectPostgres
		dir = rawURL
	}
	db, err := open(dir)
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	if err := migrate(ctx, db.DB, dialect); err != nil {
		return nil, errors.Join(fmt.Errorf("catalog: %w", err), db.Close())
	}
	return &Catalog{db: db}, nil
}

// CheckURL returns why a URL cannot name a database; "" stands for SQLite.
func CheckURL(rawURL string) error {
	if rawURL == "" {
		return nil
	}
	if !strings.HasPrefix(rawURL, "postgres://") && !strings.HasPrefix(rawURL, "postgresql://") {
		return errors.New("not a postgres:// URL")
	}
	if _, err := pgx.ParseConfig(rawURL); err != nil {
		return errors.New("not a valid postgres:// URL") // the parser's error repeats parts of it
	}
	return nil
}

func openSQLite(dir string) (*bun.DB, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, file)
	// Made here, since SQLite would let the umask decide who reads it.
	made, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := made.Close(); err != nil {
		return nil, err
	}
	options := url.Values{"_txlock": {"immediate"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "journal_mode(WAL)", "synchronous(NORMAL)",
	}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: filepath.ToSlash(path), RawQuery: options.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // writers would only wait for each other inside SQLite
	return bun.NewDB(db, sqlitedialect.New()), nil
}

func openPostgres(rawURL string) (*bun.DB, error) {
	if err := CheckURL(rawURL); err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(rawURL)
	if err != nil {
		return nil, errors.New("not a valid postgres:// URL")
	}
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(poolSize)
	db.SetConnMaxIdleTime(time.Minute)
	return bun.NewDB(db, pgdialect.New()), nil
}

// migrate brings the tables up to date. Several nodes may do so at once.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	var options []goose.ProviderOption
	if dialect == goose.DialectPostgres {
		locker, err := newLocker()
		if err != nil {
			return err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(dialect, db, files, options...)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// Close closes the database. Nobody may use it any more.
func (c *Catalog) Close() error { return c.db.Close() }

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
