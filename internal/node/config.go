package node

import (
	"time"

	"github.com/sluice-live/sluice/internal/obs"
)

// Config is everything that can be set about a node. Its tags are the only
// table of keys: YAML path (koanf), default, and the help that `sluice serve
// --help` and deploy/sluice.yaml show. Load fills it, Validate checks it.
type Config struct {
	HTTP     HTTPConfig     `koanf:"http"`
	Media    MediaConfig    `koanf:"media"`
	Ops      OpsConfig      `koanf:"ops"`
	Redis    RedisConfig    `koanf:"redis"`
	Database DatabaseConfig `koanf:"database"`
	Data     DataConfig     `koanf:"data"`
	Auth     AuthConfig     `koanf:"auth"`
	Node     IdentityConfig `koanf:"node"`
	Cluster  ClusterConfig  `koanf:"cluster"`
	Drain    DrainConfig    `koanf:"drain"`
	Stream   StreamConfig   `koanf:"stream"`
	Relay    RelayConfig    `koanf:"relay"`
	Record   RecordConfig   `koanf:"record"`
	HLS      HLSConfig      `koanf:"hls"`
	Chat     ChatConfig     `koanf:"chat"`
	Webhook  WebhookConfig  `koanf:"webhook"`
	Limits   LimitsConfig   `koanf:"limits"`
	Metrics  MetricsConfig  `koanf:"metrics"`
	Log      LogConfig      `koanf:"log"`
	Shutdown ShutdownConfig `koanf:"shutdown"`
}

// HTTPConfig is the public listener.
type HTTPConfig struct {
	Addr      string    `koanf:"addr" default:"127.0.0.1:8080" help:"address of the pages, WHIP, WHEP and the API"`
	TLS       TLSConfig `koanf:"tls"`
	PublicURL string    `koanf:"public_url" help:"what clients reach this node by, such as https://live.example.org; empty: taken from each request"`
	Trusted   []string  `koanf:"trusted_proxies" help:"addresses, or prefixes such as 10.0.0.0/8, of balancers and proxies in front of this node: callers are known by what these say in X-Forwarded-For; comma-separated in flags and environment"`
}

// TLSConfig names PEM files. Both or none.
type TLSConfig struct {
	Cert string `koanf:"cert" help:"PEM file of the certificate chain; with http.tls.key it turns on HTTPS and HTTP/2"`
	Key  string `koanf:"key" help:"PEM file of the certificate's private key"`
}

// MediaConfig is the media port.
type MediaConfig struct {
	Addr       string      `koanf:"addr" default:":8189" help:"address of all media: one UDP port, and the same TCP port for ICE-TCP"`
	PublicIPs  []string    `koanf:"public_ips" help:"addresses to advertise instead of the interfaces' own, for 1:1 NAT; comma-separated in flags and environment"`
	ICEServers []ICEServer `koanf:"ice_servers" help:"STUN and TURN servers handed to clients: URLs, or mappings of urls with username and credential, or with a TURN secret; comma-separated URLs in flags and environment"`
	ICELite    bool        `koanf:"ice_lite" default:"false" help:"answer as an ICE-lite agent; every client must then reach an advertised address by itself"`
	TCP        bool        `koanf:"tcp" default:"true" help:"accept ICE-TCP on the media port for networks that block UDP"`
	FlexFEC    bool        `koanf:"flexfec" default:"false" help:"repair packets for video (flexfec-03), from publishers and to viewers that offer them: they help on long paths with losses and cost up to a fifth of the bit rate there"`

	PlayoutDelayMin time.Duration `koanf:"playout_delay_min" default:"0s" help:"least time that players are asked to hold pictures back, where their publisher does not say"`
	PlayoutDelayMax time.Duration `koanf:"playout_delay_max" default:"0s" help:"most time that they may hold pictures back, 40.95s at most; 0: players decide"`
}

// ICEServer is one entry of media.ice_servers. With Secret set, every client
// gets its own credential of limited life (the TURN REST API convention).
type ICEServer struct {
	URLs       []string   `koanf:"urls" yaml:"urls"`
	Username   string     `koanf:"username" yaml:"username,omitempty"`
	Credential obs.Secret `koanf:"credential" yaml:"credential,omitempty"`
	Secret     obs.Secret `koanf:"secret" yaml:"secret,omitempty"`
}

// OpsConfig is the operators' listener.
type OpsConfig struct {
	Addr string `koanf:"addr" default:"127.0.0.1:9091" help:"address of metrics, profiles and health; empty: off"`
}

// RedisConfig names the cluster's Redis.
type RedisConfig struct {
	URL obs.Secret `koanf:"url" help:"URL of the cluster's Redis: redis://user:password@host:6379/0, redis+sentinel://host:26379/0?master_name=main&addr=host2:26379 or redis+cluster://host:6379?addr=host2:6379, with rediss for TLS; empty: an embedded one, for a single node"`
}

// DatabaseConfig names the database.
type DatabaseConfig struct {
	URL obs.Secret `koanf:"url" help:"PostgreSQL of the cluster, such as postgres://user:password@host:5432/sluice; it keeps stream keys, bans, chat and the audit log; empty: an SQLite file in data.dir"`
}

// DataConfig is the data directory.
type DataConfig struct {
	Dir     string     `koanf:"dir" default:"./sluice-data" help:"directory of recordings and generated secrets"`
	BlobURL obs.Secret `koanf:"blob_url" help:"where all nodes keep recordings: a directory that they share, file:///path, or a bucket, s3://bucket/prefix?endpoint=https://host&region=name, with key:secret@ before the bucket or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; style=path or host says where the bucket's name goes; empty: each node keeps its own in data.dir"`
	SpoolMB int        `koanf:"spool_mb" default:"4096" help:"megabytes of recordings that wait in data.dir while data.blob_url takes nothing; then recording pauses and live goes on"`
}

// AuthConfig says who may do what.
type AuthConfig struct {
	Mode      string                `koanf:"mode" default:"auto" help:"who may publish and watch: everybody with open, holders of a token with token; auto is open when http.addr is a loopback address, else token"`
	AllowOpen bool                  `koanf:"allow_open" default:"false" help:"permit auth.mode open on an address that others can reach"`
	Keys      map[string]obs.Secret `koanf:"keys" help:"API keys and their secrets, all valid at once; in flags and environment \"key: secret, key: secret\"; empty: one is made at first start and kept in data.dir"`
}

// IdentityConfig is this node among others.
type IdentityConfig struct {
	ID     string   `koanf:"id" help:"name of this node in the cluster; empty: made at start"`
	Region string   `koanf:"region" default:"default" help:"where this node is"`
	Roles  []string `koanf:"roles" alias:"roles" default:"ingest,delivery,recording" help:"what this node does for the cluster: ingest takes publishers, delivery takes viewers, recording records what is published here; comma-separated in flags and environment"`
	URL    string   `koanf:"url" help:"where the other nodes reach this one, such as http://10.0.0.5:8080; empty: http.public_url, else the address that it listens on"`

	Capacity CapacityConfig `koanf:"capacity"`
}

// CapacityConfig is what a node carries before it goes easy: layers are capped
// first, and new sessions refused last.
type CapacityConfig struct {
	CPU     int `koanf:"cpu" default:"95" help:"percent of its processors that this node may use"`
	Mbps    int `koanf:"mbps" default:"0" help:"megabits a second that this node may send; 0: no limit"`
	Viewers int `koanf:"viewers" default:"0" help:"viewers that this node takes while other nodes have room; 0: no limit"`
}

// ClusterConfig is what concerns all nodes together.
type ClusterConfig struct {
	Ingest string `koanf:"ingest" default:"local" help:"which node takes a publisher: the one that it asks with local, the one that the stream's name belongs to with redirect, by a 307 that encoders must follow"`
	Mbps   int    `koanf:"mbps" default:"0" help:"megabits a second that all nodes together may send; 0: no limit"`

	ListNodes int `koanf:"list_nodes" default:"64" help:"other nodes that are asked for their streams when a list of all is wanted, those with the most first; 0: none, and the list holds the streams of the node that is asked"`
}

// DrainConfig is how a node gives up what it has, before it stops or when it is told to.
type DrainConfig struct {
	Spread  time.Duration `koanf:"spread" default:"10s" help:"time over which a node that drains tells its players to go to others, at most"`
	Timeout time.Duration `koanf:"timeout" default:"60s" help:"time that draining may take; who is left then is cut off"`
	Back    time.Duration `koanf:"back" default:"3s" help:"how long players of a node that is stopped look for it where it was, when no node has been restarted before that could take them: in a rolling restart each of them reconnects once; 0s: they go to other nodes at once, and may be sent on by those"`
	Roll    time.Duration `koanf:"roll" default:"15m" help:"time without a node that leaves, after which a rolling restart is over"`
}

// RelayConfig is how nodes of a cluster pull streams from each other.
type RelayConfig struct {
	Linger      time.Duration `koanf:"linger" default:"10s" help:"how long this node goes on pulling a stream that nobody watches here"`
	MaxChildren int           `koanf:"max_children" default:"8" help:"nodes that may pull one stream from this one; more pull it from those"`
	MaxHops     int           `koanf:"max_hops" default:"4" help:"nodes that a stream may pass on its way from the publisher's node"`
	Secret      obs.Secret    `koanf:"secret" help:"secret of 32 characters or more by which the nodes of a cluster know each other; empty: they make one and keep it in Redis"`
}

// StreamConfig is the policy of streams.
type StreamConfig struct {
	Grace      time.Duration `koanf:"grace" default:"30s" help:"how long a stream and its viewers wait for their publisher to come back"`
	Wait       bool          `koanf:"wait" default:"false" help:"let viewers join a stream before its publisher; false: they get 409 and Retry-After"`
	Takeover   bool          `koanf:"takeover" default:"false" help:"a second publisher replaces a live one; false: it gets 409"`
	MaxViewers int           `koanf:"max_viewers" default:"0" help:"viewers of one stream on this node; 0: no limit"`
}

// RecordConfig is what is recorded, for rewinding and for later.
type RecordConfig struct {
	Enabled   bool          `koanf:"enabled" default:"true" help:"record every stream that is published here: HLS and rewinding need it"`
	Part      time.Duration `koanf:"part" default:"500ms" help:"length of a part of a segment, the least that players fetch: 200ms for the lowest delay, 500ms for fewer requests"`
	Segment   time.Duration `koanf:"segment" default:"2s" help:"length of a segment; publishers are asked for a keyframe this often"`
	Window    time.Duration `koanf:"window" default:"2h" help:"how far back a running stream can be rewound; what is older is removed"`
	Keep      time.Duration `koanf:"keep" default:"24h" help:"how long a recording is kept after its stream has ended; 0s: for ever"`
	MaxMB     int           `koanf:"max_mb" default:"20480" help:"megabytes of all recordings; the oldest give way; 0: no limit"`
	ReserveMB int           `koanf:"reserve_mb" default:"1024" help:"megabytes that are left free on the disk, but not more than a twentieth of it: then recording pauses and live goes on"`
	CoderMB   int           `koanf:"transcoder_mb" default:"1024" help:"memory that one ffmpeg child may hold, in MiB, before another takes its place; 0: no limit"`
	Rungs     int           `koanf:"rungs" default:"2" help:"smaller VP8 and VP9 simulcast layers, of all streams, that are transcoded for HLS beside the largest of each"`
	FFmpeg    string        `koanf:"ffmpeg" default:"ffmpeg" help:"program that makes AAC sound, H.264 of VP8 and VP9, and thumbnails; empty: none"`
}

// HLSConfig bounds what serving HLS costs.
type HLSConfig struct {
	MaxWaiting int `koanf:"max_waiting" default:"20000" help:"HLS requests that may wait for media to come; more get 503"`
	CacheMB    int `koanf:"cache_mb" default:"256" help:"megabytes of older segments that are kept in memory for viewers who rewind"`
}

// ChatConfig is the chat of streams.
type ChatConfig struct {
	Enabled    bool          `koanf:"enabled" default:"true" help:"a chat room for each stream, in the viewers' own connection and by WebSocket"`
	History    int           `koanf:"history" default:"50" help:"messages that a member gets on joining; 0: none"`
	Tick       time.Duration `koanf:"tick" default:"100ms" help:"messages within this time reach a member joined"`
	Rate       int           `koanf:"rate" default:"60" help:"messages a minute of one member"`
	Burst      int           `koanf:"burst" default:"5" help:"messages at once of one member"`
	RoomRate   int           `koanf:"room_rate" default:"200" help:"messages a second of all members of a room on this node"`
	FrameRate  int           `koanf:"frame_rate" default:"20" help:"frames a second of one member, whatever they hold; more mute it for a while"`
	TextRunes  int           `koanf:"text_runes" default:"500" help:"characters of a message"`
	FrameBytes int           `koanf:"frame_bytes" default:"4096" help:"bytes of a frame"`
	Members    int           `koanf:"members" default:"20000" help:"members of one room on this node"`
	Retention  time.Duration `koanf:"retention" default:"720h" help:"how long messages are kept that no recording holds"`
	Words      []string      `koanf:"words" help:"words that no message may hold; comma-separated in flags and environment"`
}

// WebhookConfig is who is told of what happens to streams.
type WebhookConfig struct {
	URLs    []obs.Secret  `koanf:"urls" help:"http and https URLs that get LiveKit's webhook events of this node's streams, signed with an API key; give all nodes of a cluster the same; comma-separated in flags and environment"`
	Key     string        `koanf:"key" help:"name of the API key that signs; empty: the first by name"`
	Viewers bool          `koanf:"viewers" default:"true" help:"tell of viewers too, and not of publishers alone; they never take more than half of the queue"`
	Queue   int           `koanf:"queue" default:"1000" help:"events that wait for one URL; what comes when it is full is dropped and counted"`
	Timeout time.Duration `koanf:"timeout" default:"5s" help:"time that a receiver has to answer"`
	Retry   time.Duration `koanf:"retry" default:"10m" help:"how long an event is tried again, with pauses from half a second to 30 s, before it is dropped"`
}

// LimitsConfig bounds what one caller can cost.
type LimitsConfig struct {
	SDPBytes          int           `koanf:"sdp_bytes" default:"65536" help:"bytes of an SDP offer"`
	MediaSections     int           `koanf:"media_sections" default:"4" help:"media sections of an offer"`
	SDPAttributes     int           `koanf:"sdp_attributes" default:"500" help:"attribute lines of an offer"`
	SDPLineBytes      int           `koanf:"sdp_line_bytes" default:"4096" help:"bytes of one line of an offer"`
	RIDs              int           `koanf:"rids" default:"3" help:"simulcast layers of a publisher"`
	SSRCs             int           `koanf:"ssrcs" default:"8" help:"RTP streams of a publisher"`
	Candidates        int           `koanf:"candidates" default:"128" help:"ICE candidates that a peer names, in all"`
	Addresses         int           `koanf:"addresses" default:"256" help:"addresses that a peer may have at once; then one more every 10 s"`
	PendingSessions   int           `koanf:"pending_sessions" default:"3000" help:"sessions that are still connecting, in all"`
	PendingPerIP      int           `koanf:"pending_per_ip" default:"1500" help:"sessions that are still connecting, of one address"`
	ConnectionsPerIP  int           `koanf:"connections_per_ip" default:"4096" help:"open HTTP connections of one address"`
	HandshakeTimeout  time.Duration `koanf:"handshake_timeout" default:"10s" help:"time that a session has to connect"`
	AuthFailures      int           `koanf:"auth_failures_per_minute" default:"60" help:"refused tokens and unknown session URLs of one address, then 429"`
	RequestsPerSecond int           `koanf:"requests_per_second" default:"1000" help:"HTTP requests of one address, then 429"`
}

// MetricsConfig is what the metrics tell.
type MetricsConfig struct {
	PerStream bool `koanf:"per_stream" default:"false" help:"also export series labelled by stream; their number is unbounded"`
}

// LogConfig is the log on stderr.
type LogConfig struct {
	Level  string `koanf:"level" default:"info" help:"least level that is logged: debug, info, warn or error"`
	Format string `koanf:"format" default:"auto" help:"form of the log on stderr: text, json, or auto, which is text on a terminal, else json"`
}

// ShutdownConfig is the way to stop.
type ShutdownConfig struct {
	Timeout time.Duration `koanf:"timeout" default:"10s" help:"time to end everything in order after SIGINT or SIGTERM"`
}
