package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/blob"
	"github.com/sluice-live/sluice/internal/catalog"
	"github.com/sluice-live/sluice/internal/webhook"
	"github.com/sluice-live/sluice/sfu"
)

// Values of auth.mode.
const (
	AuthAuto  = "auto" // resolved by Load
	AuthOpen  = auth.ModeOpen
	AuthToken = auth.ModeToken
)

// Values of cluster.ingest.
const (
	IngestLocal    = "local"
	IngestRedirect = "redirect"
)

// Validate returns every fault of the configuration, each beginning with its
// key, or nil.
func (c Config) Validate() error {
	return errors.Join(
		c.validateHTTP(),
		c.validateMedia(),
		c.validateAuth(),
		c.validateRest(),
		c.Limits.validate(),
		c.Chat.validate(),
		c.Webhook.validate(),
	)
}

func (c Config) validateHTTP() error {
	return errors.Join(
		check("http.addr", checkAddr(c.HTTP.Addr)),
		checkThat((c.HTTP.TLS.Cert == "") == (c.HTTP.TLS.Key == ""), "http.tls: cert and key go together"),
		check("http.public_url", checkOrigin(c.HTTP.PublicURL)),
		check("http.trusted_proxies", checkTrusted(c.HTTP.Trusted)),
		check("ops.addr", optional(c.Ops.Addr, checkAddr)),
	)
}

func checkTrusted(list []string) error {
	_, err := parseTrusted(list)
	return err
}

func (c Config) validateMedia() error {
	errs := []error{check("media.addr", checkAddr(c.Media.Addr))}
	for _, ip := range c.Media.PublicIPs {
		if _, err := netip.ParseAddr(ip); err != nil {
			errs = append(errs, fmt.Errorf("media.public_ips: %q is not an IP address", ip))
		}
	}
	for _, server := range c.Media.ICEServers {
		errs = append(errs, check("media.ice_servers", server.validate()))
	}
	errs = append(errs, checkThat(0 <= c.Media.PlayoutDelayMin && c.Media.PlayoutDelayMin <= c.Media.PlayoutDelayMax && c.Media.PlayoutDelayMax <= sfu.MaxPlayoutDelay,
		"media.playout_delay_min, media.playout_delay_max: not in order, or more than %v", sfu.MaxPlayoutDelay))
	return errors.Join(errs...)
}

func (s ICEServer) validate() error {
	if len(s.URLs) == 0 {
		return errors.New("a server without urls")
	}
	for _, u := range s.URLs {
		scheme, _, _ := strings.Cut(u, ":")
		switch scheme {
		case "stun", "stuns":
		case "turn", "turns":
			if s.Secret == "" && (s.Username == "" || s.Credential == "") {
				return fmt.Errorf("%s wants username and credential, or secret", u)
			}
		default:
			return fmt.Errorf("%q is not a stun:, stuns:, turn: or turns: URL", u)
		}
	}
	return checkThat(s.Secret == "" || s.Credential == "", "give either credential or secret")
}

func (c Config) validateAuth() error {
	errs := []error{checkOneOf("auth.mode", c.Auth.Mode, AuthAuto, AuthOpen, AuthToken)}
	if c.Auth.Mode == AuthOpen && !isLoopback(c.HTTP.Addr) && !c.Auth.AllowOpen {
		errs = append(errs, fmt.Errorf("auth.mode: open lets everybody who reaches %s publish and watch; use token, or set auth.allow_open", c.HTTP.Addr))
	}
	for key, secret := range c.Auth.Keys {
		errs = append(errs,
			checkThat(isName(key), "auth.keys: %q is not an API key: 1 to 64 letters, digits, '-' and '_'", key),
			checkThat(len(secret) >= auth.MinSecret, "auth.keys: the secret of %s is shorter than %d characters", key, auth.MinSecret))
	}
	return errors.Join(errs...)
}

func (c Config) validateRest() error {
	return errors.Join(
		check("database.url", catalog.CheckURL(string(c.Database.URL))),
		check("redis.url", optional(string(c.Redis.URL), checkRedisURL)),
		checkThat(c.Data.Dir != "", "data.dir: is empty"),
		check("data.blob_url", optional(string(c.Data.BlobURL), blob.CheckURL)),
		checkRange("data.spool_mb", c.Data.SpoolMB, 16, 1<<30),
		checkThat(c.Node.ID == "" || isName(c.Node.ID), "node.id: 1 to 64 letters, digits, '-' and '_'"),
		checkThat(isName(c.Node.Region), "node.region: 1 to 64 letters, digits, '-' and '_'"),
		checkRange("node.capacity.cpu", c.Node.Capacity.CPU, 1, 1000),
		checkThat(len(c.Node.Roles) > 0 && !slices.ContainsFunc(c.Node.Roles, func(r string) bool { return !slices.Contains(sluice.Roles(), r) }),
			"node.roles: not some of %s", strings.Join(sluice.Roles(), ", ")),
		checkThat(c.Node.Capacity.Mbps >= 0 && c.Node.Capacity.Viewers >= 0, "node.capacity: is negative"),
		checkOneOf("cluster.ingest", c.Cluster.Ingest, IngestLocal, IngestRedirect),
		checkThat(c.Cluster.Mbps >= 0, "cluster.mbps: is negative"),
		checkRange("cluster.list_nodes", c.Cluster.ListNodes, 0, 10_000),
		checkThat(c.Drain.Back >= 0 && c.Drain.Back <= time.Minute && c.Drain.Roll > 0, "drain: back is within 0s and 1m, and roll more than 0"),
		checkThat(c.Drain.Spread >= 0 && c.Drain.Timeout > c.Drain.Spread, "drain: not 0 <= spread < timeout"),
		checkThat(c.Stream.Grace > 0, "stream.grace: must be more than 0"),
		checkThat(c.Stream.MaxViewers >= 0, "stream.max_viewers: is negative"),
		check("node.url", checkOrigin(c.Node.URL)),
		c.Relay.validate(),
		c.Record.validate(),
		checkRange("hls.max_waiting", c.HLS.MaxWaiting, 1, 10_000_000),
		checkRange("hls.cache_mb", c.HLS.CacheMB, 1, 1<<20),
		checkOneOf("log.level", c.Log.Level, "debug", "info", "warn", "error"),
		checkOneOf("log.format", c.Log.Format, "auto", "text", "json"),
		checkThat(c.Shutdown.Timeout > 0, "shutdown.timeout: must be more than 0"),
	)
}

func (r RelayConfig) validate() error {
	return errors.Join(
		checkThat(r.Linger >= 0, "relay.linger: is negative"),
		checkRange("relay.max_children", r.MaxChildren, 1, 1000),
		checkRange("relay.max_hops", r.MaxHops, 1, 16),
		checkThat(r.Secret == "" || len(r.Secret) >= auth.MinSecret, "relay.secret: has less than %d characters", auth.MinSecret),
	)
}

func (r RecordConfig) validate() error {
	return errors.Join(
		checkThat(r.Part >= 100*time.Millisecond && r.Part <= 2*time.Second && r.Part <= r.Segment, "record.part: %v is not within 100ms and 2s, or longer than record.segment", r.Part),
		checkThat(r.Segment >= time.Second && r.Segment <= 10*time.Second, "record.segment: %v is not within 1s and 10s", r.Segment),
		checkThat(r.Window >= 10*r.Segment, "record.window: %v is shorter than ten segments", r.Window),
		checkThat(r.Keep >= 0, "record.keep: is negative"),
		checkThat(r.MaxMB >= 0, "record.max_mb: is negative"),
		checkThat(r.ReserveMB >= 0, "record.reserve_mb: is negative"),
		checkThat(r.CoderMB >= 0, "record.transcoder_mb: is negative"),
	)
}

func (c ChatConfig) validate() error {
	return errors.Join(
		checkRange("chat.history", c.History, 0, 256),
		checkThat(c.Tick >= 10*time.Millisecond && c.Tick <= time.Second, "chat.tick: %s is not within 10ms and 1s", c.Tick),
		checkRange("chat.rate", c.Rate, 1, 1_000_000),
		checkRange("chat.burst", c.Burst, 1, 1_000_000),
		checkRange("chat.room_rate", c.RoomRate, 1, 1_000_000),
		checkRange("chat.frame_rate", c.FrameRate, 1, 1_000_000),
		checkRange("chat.text_runes", c.TextRunes, 1, 4096),
		checkRange("chat.frame_bytes", c.FrameBytes, 256, 4096),
		checkRange("chat.members", c.Members, 1, 1_000_000),
		checkThat(c.Retention > 0, "chat.retention: must be more than 0"),
	)
}

func (w WebhookConfig) validate() error {
	var errs []error
	for _, text := range w.URLs {
		errs = append(errs, check("webhook.urls", webhook.CheckURL(string(text))))
	}
	return errors.Join(append(errs,
		checkRange("webhook.queue", w.Queue, 1, 1_000_000),
		checkThat(w.Timeout >= 100*time.Millisecond && w.Timeout <= time.Minute, "webhook.timeout: %v is not within 100ms and 1m", w.Timeout),
		checkThat(w.Retry >= time.Second && w.Retry <= 24*time.Hour, "webhook.retry: %v is not within 1s and 24h", w.Retry),
	)...)
}

func (l LimitsConfig) validate() error {
	return errors.Join(
		checkRange("limits.sdp_bytes", l.SDPBytes, 1024, 1<<20),
		checkRange("limits.media_sections", l.MediaSections, 1, 64),
		checkRange("limits.sdp_attributes", l.SDPAttributes, 16, 10_000),
		checkRange("limits.sdp_line_bytes", l.SDPLineBytes, 256, 1<<16),
		checkRange("limits.rids", l.RIDs, 1, 16),
		checkRange("limits.ssrcs", l.SSRCs, 2, 64),
		checkRange("limits.candidates", l.Candidates, 1, 10_000),
		checkRange("limits.addresses", l.Addresses, 1, 1_000_000),
		checkRange("limits.pending_sessions", l.PendingSessions, 1, 1_000_000),
		checkRange("limits.pending_per_ip", l.PendingPerIP, 1, 1_000_000),
		checkRange("limits.connections_per_ip", l.ConnectionsPerIP, 1, 1_000_000),
		checkThat(l.HandshakeTimeout > 0, "limits.handshake_timeout: must be more than 0"),
		checkRange("limits.auth_failures_per_minute", l.AuthFailures, 1, 1_000_000),
		checkRange("limits.requests_per_second", l.RequestsPerSecond, 1, 1_000_000),
	)
}

// authMode resolves auto.
func (c Config) authMode() string {
	switch {
	case c.Auth.Mode != AuthAuto:
		return c.Auth.Mode
	case isLoopback(c.HTTP.Addr):
		return AuthOpen
	default:
		return AuthToken
	}
}

func check(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", key, err)
}

func checkThat(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

func checkOneOf(key, value string, allowed ...string) error {
	return checkThat(slices.Contains(allowed, value), "%s: %q is none of %s", key, value, strings.Join(allowed, ", "))
}

func checkRange(key string, value, least, most int) error {
	return checkThat(value >= least && value <= most, "%s: %d is not within %d and %d", key, value, least, most)
}

func optional(value string, f func(string) error) error {
	if value == "" {
		return nil
	}
	return f(value)
}

func checkAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not host:port", addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q has no port number within 0 and 65535", addr)
	}
	return nil
}

func checkOrigin(origin string) error {
	if origin == "" {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("%q is not an http:// or https:// URL", origin)
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("%q has more than scheme, host and port", origin)
	}
	return nil
}

func checkRedisURL(text string) error {
	const forms = "not a redis:// or rediss:// URL, with or without +sentinel or +cluster"
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return errors.New(forms) // the parser's error would repeat the password
	}
	base, form, extended := strings.Cut(u.Scheme, "+")
	if (base != "redis" && base != "rediss") || (extended && form != "sentinel" && form != "cluster") {
		return errors.New(forms)
	}
	return nil
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func isName(s string) bool {
	return len(s) >= 1 && len(s) <= 64 && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}) < 0
}
