package signaling

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// callTimeout bounds one exchange with Redis, retries included. The library's
// defaults would hold a caller for ten seconds when Redis is frozen.
const callTimeout = 500 * time.Millisecond

// stoodStill is how much longer one may have taken until this process is taken to
// have stood still itself, which says nothing about Redis: it is asked once more.
const stoodStill = 250 * time.Millisecond

// Connect returns a client for the Redis at rawURL once it has answered. The
// caller closes it. The forms are
//
//	redis://user:password@host:6379/0
//	redis+sentinel://user:password@host:26379/0?master_name=main&addr=host2:26379
//	redis+cluster://user:password@host:6379?addr=host2:6379
//
// and the same with rediss for TLS. Options of go-redis may follow in the query;
// timeouts longer than half a second are cut to that. Errors never repeat the
// URL's password.
func Connect(ctx context.Context, rawURL string) (redis.UniversalClient, error) {
	// The library would write to standard error on its own. Failures reach the
	// log through the errors that we return.
	redis.SetLogger(&logging.VoidLogger{})
	client, host, err := open(rawURL)
	if err != nil {
		return nil, fmt.Errorf("redis url: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*callTimeout)
	defer cancel()
	if err := client.Ping(ctx).Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("redis at %s does not answer: %w", host, err), client.Close())
	}
	return client, nil
}

func open(rawURL string) (client redis.UniversalClient, host string, err error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, "", errors.New("not a URL") // the parser's error repeats it
	}
	base, form, _ := strings.Cut(u.Scheme, "+")
	if base != "redis" && base != "rediss" {
		return nil, "", fmt.Errorf("scheme %q is neither redis nor rediss, with or without +sentinel or +cluster", u.Scheme)
	}
	u.Scheme = base
	switch form {
	case "":
		client, err = openSingle(u.String())
	case "sentinel":
		client, err = openSentinel(u.String())
	case "cluster":
		client, err = openCluster(u.String())
	default:
		err = fmt.Errorf("unknown form %q", form)
	}
	return client, u.Host, err
}

func openSingle(u string) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(u)
	if err != nil {
		return nil, err
	}
	limit(&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout)
	o.ContextTimeoutEnabled = true
	o.MaxRetries, o.DialerRetries = 1, 1
	o.PoolSize = poolSize(o.PoolSize)
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(o), nil
}

func openSentinel(u string) (redis.UniversalClient, error) {
	o, err := redis.ParseFailoverURL(u)
	if err != nil {
		return nil, err
	}
	if o.MasterName == "" {
		return nil, errors.New("the sentinel form needs master_name in its query")
	}
	// The parser takes the URL's user for the sentinels; the servers behind them
	// are usually under the same one.
	if o.Password == "" {
		o.Username, o.Password = o.SentinelUsername, o.SentinelPassword
	}
	limit(&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout)
	o.ContextTimeoutEnabled = true
	o.MaxRetries, o.DialerRetries = 1, 1
	o.PoolSize = poolSize(o.PoolSize)
	return redis.NewFailoverClient(o), nil
}

func openCluster(u string) (redis.UniversalClient, error) {
	o, err := redis.ParseClusterURL(u)
	if err != nil {
		return nil, err
	}
	limit(&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout)
	o.ContextTimeoutEnabled = true
	o.MaxRedirects, o.MaxRetries, o.DialerRetries = 2, -1, 1
	o.PoolSize = poolSize(o.PoolSize)
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClusterClient(o), nil
}

// poolSize leaves the readers of a Journal, which hold their connections, out of
// account; 0 stands for the library's default.
func poolSize(wanted int) int {
	if wanted == 0 {
		wanted = 10 * runtime.GOMAXPROCS(0)
	}
	return wanted + journalBuckets
}

func limit(timeouts ...*time.Duration) {
	for _, t := range timeouts {
		if *t <= 0 || *t > callTimeout {
			*t = callTimeout
		}
	}
}
