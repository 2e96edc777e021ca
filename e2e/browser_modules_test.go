package e2e

import (
	_ "embed"
	"net/http"
	"net/http/httptest"
	"testing"
)

//go:embed testdata/playout.js
var playoutScript string

// TestBrowserModules runs the parsers and builders of the pages, unbundled, in
// the browser. Every case is an expression over the named module m, and the
// JSON that it must give.
func TestBrowserModules(t *testing.T) {
	t.Parallel()
	sources := httptest.NewServer(http.FileServer(http.Dir("../web/src")))
	t.Cleanup(sources.Close)
	b := newBrowser(t)
	b.open(sources.URL + "/icon.svg")
	b.exec(playoutScript)

	const links = "'</whep/a/s/sse>; rel=\"urn:x:events\"; events=\"active,layers\", <turn:h:3478?transport=udp>; rel=\"ice-server\"; username=\"u\"; credential=\"a,b;\\\\\"c\", </l>;rel=layer'"
	// look reads statistics in which sound is ahead of the picture, with what both wait for.
	const together = "(() => { const a = {jitterBufferTarget: 9}; const v = {playoutDelayHint: 9}; const t = new m.Together(a, v); const held = () => [a.jitterBufferTarget, 1000 * v.playoutDelayHint]; let [n, sums] = [0, [0, 0, 0]]; const look = (ahead, sound = 60, soundTarget = 60, pictureTarget = 30, wait = 0) => { n++; sums = sums.map((s, i) => s + [sound, soundTarget, pictureTarget][i] / 1000); t.update(new Map([[1, {type: 'inbound-rtp', kind: 'audio', jitterBufferDelay: sums[0], jitterBufferTargetDelay: sums[1], jitterBufferEmittedCount: n, estimatedPlayoutTimestamp: 5e12 + ahead}], [2, {type: 'inbound-rtp', kind: 'video', jitterBufferTargetDelay: sums[2], jitterBufferEmittedCount: n, estimatedPlayoutTimestamp: 5e12}]]), wait); }; "
	tests := []struct{ name, module, expression, want string }{
		{"links", "link", "m.parseLinks(" + links + ", 'http://h/whep/a/s').map((l) => [l.url, l.params.rel])", `[["http://h/whep/a/s/sse","urn:x:events"],["turn:h:3478?transport=udp","ice-server"],["http://h/l","layer"]]`},
		{"quoted commas", "link", "m.linkOf(m.parseLinks(" + links + ", 'http://h/'), 'urn:x:events').params.events", `"active,layers"`},
		{"ice servers", "link", "m.iceServers(m.parseLinks(" + links + ", 'http://h/'))", `[{"urls":"turn:h:3478?transport=udp","username":"u","credential":"a,b;\"c"}]`},
		{"broken link header", "link", "[m.parseLinks('', 'http://h/'), m.parseLinks('<', 'http://h/'), m.parseLinks('a; rel=b', 'http://h/')]", `[[],[],[]]`},
		{"events in pieces", "sse", "(() => { const p = new m.EventParser(); return ['event: la', 'yers\\r', '\\ndata: {\"a\":', '1}\\r\\n\\r\\n: hi\\n\\nid: 7\\ndata: x\\n\\n'].flatMap((s) => p.push(s)); })()", `[{"event":"layers","data":"{\"a\":1}","id":""},{"event":"message","data":"x","id":"7"}]`},
		{"event without data", "sse", "new m.EventParser().push('event: a\\n\\n')", `[]`},
		{"retry after seconds", "problem", "m.retryAfter(new Headers({'Retry-After': '3'}))", `3000`},
		{"retry after nothing", "problem", "[m.retryAfter(new Headers()), m.retryAfter(new Headers({'Retry-After': 'soon'}))]", `[0,0]`},
		{"temporary", "problem", "[0, 400, 401, 409, 422, 429, 503].map((s) => new m.HttpError(s, '', '', 0).temporary)", `[true,false,false,true,false,true,true]`},
		{"answer that breaks off", "problem", "m.bodyOf(new Response(new ReadableStream({start: (c) => c.error(new TypeError('cut'))}))).catch((e) => [e.status, e.code, e.temporary])", `[0,"network",true]`},
		{"work in time", "problem", "m.within(60_000, new AbortController().signal, async () => 1)", `1`},
		{"work without an end", "problem", "m.within(1, new AbortController().signal, () => new Promise(() => {})).catch((e) => [e.status, e.temporary])", `[0,true]`},
		{"work that is stopped", "problem", "(() => { const c = new AbortController(); const w = m.within(60_000, c.signal, () => new Promise(() => {})).catch((e) => e.name); c.abort(); return w; })()", `"AbortError"`},
		{"fragment", "sdp", "m.fragment({ufrag: 'u', pwd: 'p', mid: '0', kind: 'audio', candidates: ['candidate:1'], complete: true})", `"a=ice-ufrag:u\r\na=ice-pwd:p\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1\r\na=end-of-candidates\r\n"`},
		{"stereo", "sdp", "m.stereoOpus('a=rtpmap:111 opus/48000/2\\r\\na=fmtp:111 minptime=10\\r\\n')", `"a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;stereo=1;sprop-stereo=1\r\n"`},
		{"start bitrate without fmtp", "sdp", "m.startBitrate('a=rtpmap:96 VP8/90000\\r\\na=rtpmap:97 rtx/90000\\r\\n', 900)", `"a=rtpmap:96 VP8/90000\r\na=fmtp:96 x-google-start-bitrate=900\r\na=rtpmap:97 rtx/90000\r\n"`},
		{"round trips", "sdp", "m.roundTrips('a=rtcp-fb:96 nack\\r\\na=rtcp-fb:96 nack pli\\r\\n')", `"a=rtcp-fb:96 nack\r\na=rtcp-fb:96 rrtr\r\na=rtcp-fb:96 nack pli\r\n"`},
		{"wait for repairs", "repair", "(() => { const w = new m.RepairWait(); const look = (nackCount, now, rtt = 0.04) => w.update(new Map([[1, {type: 'inbound-rtp', kind: 'video', nackCount}], [2, {type: 'candidate-pair', nominated: true, currentRoundTripTime: rtt}]]), now); return [look(0, 0), look(1, 250), look(3, 500, 0.2), look(3, 750), look(3, 9000), look(3, 15800), look(9, 22000, 0.2), look(9, 22250)]; })()", `[0,0,150,150,150,0,400,400]`},
		{"sound and picture together", "together", together + "const out = [held()]; const see = (...a) => { look(...a); look(...a); look(...a); out.push(held()); }; see(10, 60, 60, 30); see(100, 60, 60, 150); see(-100, 160, 160, 60); see(-50, 210, 200, 140); see(60, 60, 60, 190); see(5000, 60, 60, 130); see(5000, 60, 60, 30); return out; })()", `[[0,0],[0,0],[180,0],[40,160],[0,190],[0,130],[0,0],[400,0]]`},
		{"sound and picture of a late picture", "together", together + "look(5); look(300); look(5); look(300); look(300); look(-300); return held(); })()", `[0,0]`},
		{"sound and picture while repairs are waited for", "together", together + "const out = []; for (const wait of [150, 200, 0]) { look(0, 60, 60, 30, wait); out.push(held()); } for (let i = 0; i < 2; i++) { look(70, 60, 60, 200); out.push(held()); } return out; })()", `[[150,150],[200,200],[0,200],[0,200],[0,200]]`},
		{"sound and picture that cannot be compared", "together", together + "const out = []; for (const [wait, ahead] of [[0, 100], [0, 100], [0, 100], [200, NaN], ...Array(6).fill([0, NaN]), [0, 100], ...Array(8).fill([0, NaN])]) { look(ahead, 60, 60, 30, wait); out.push(held().join()); } return out.filter((h, i) => h !== out[i - 1]); })()", `["0,0","180,0","200,200","180,200","0,0"]`},
		{"sound and picture of a machine that stood still", "together", "[500, 1000, 1500].map((ms) => { const p = new Playout(m.Together); p.run(5); p.sound.level += ms; p.run(10); return p.run(20, 120) === 0 && p.wait < 100; })", `[true,true,true]`},
		{"a picture that the browser has delayed", "together", "(() => { const p = new Playout(m.Together); p.run(10); p.picture.extra = p.picture.added = 350; p.run(5); return [p.run(35, 120) === 0, p.wait < 100]; })()", `[true,true]`},
		{"sound and picture of a link that needs them late", "together", "[[300, 20, 0], [40, 250, 0], [40, 20, 250]].map(([sound, picture, path]) => { const p = new Playout(m.Together); p.run(5); [p.sound.own, p.picture.own, p.path] = [sound, picture, path]; p.run(10); return p.run(60); })", `[0,0,0]`},
		{"sound and picture after faults of many kinds", "together", "afterFaults(m.Together, 200) < 100", `true`},
		{"a picture without sound, after losses", "together", "(() => { const [a, v] = [{jitterBufferTarget: 9}, {jitterBufferTarget: 9}]; const t = new m.Together(a, v); return [0, 200, 200, 0].map((wait, n) => { t.update(new Map([[1, {type: 'inbound-rtp', kind: 'video', jitterBufferTargetDelay: n, jitterBufferEmittedCount: 9 * n, estimatedPlayoutTimestamp: 5e12}]]), wait); return [a.jitterBufferTarget, v.jitterBufferTarget]; }); })()", `[[0,0],[200,200],[200,200],[0,0]]`},
		{"sound and picture, nothing known", "together", together + "t.update(new Map(), 0); t.update(new Map([[1, {type: 'inbound-rtp', kind: 'audio'}]]), 30); return held(); })()", `[30,30]`},
		{"restarted answer", "sdp", "m.withIce('m=audio\\r\\na=ice-ufrag:a\\r\\na=ice-pwd:b\\r\\na=candidate:old\\r\\nm=video\\r\\na=ice-ufrag:a\\r\\na=ice-pwd:b\\r\\n', 'a=ice-ufrag:c\\r\\na=ice-pwd:d\\r\\na=candidate:new\\r\\n')", `"m=audio\r\na=ice-ufrag:c\r\na=ice-pwd:d\r\na=candidate:new\r\nm=video\r\na=ice-ufrag:c\r\na=ice-pwd:d\r\n"`},
		{"layers, misspelt height", "layers", "m.layersOf({1: {layers: [{rid: 'q', height: 180, bitrate: 1}, {rid: 'f', heigth: 720}]}}).map((l) => [l.rid, l.height, l.active])", `[["f",720,false],["q",180,true]]`},
		{"layers of several frame rates", "layers", "m.layersOf({1: [{rid: 'q', height: 180, bitrate: 1, spatialLayerId: 0, temporalLayerId: 0}, {rid: 'q', height: 180, bitrate: 2, spatialLayerId: 0, temporalLayerId: 1}]}).map((l) => [l.rid, l.bitrate])", `[["q",2]]`},
		{"spatial layers", "layers", "(() => { const l = m.layersOf({1: [{height: 180, bitrate: 1, spatialLayerId: 0}, {height: 360, bitrate: 2, spatialLayerId: 1}]}); return [l.map((l) => l.rid), m.layerRequest('/0', l), m.layerRequest('360p', l)]; })()", `[["/1","/0"],{"spatialLayerId":0},{"spatialLayerId":1}]`},
		{"layers, garbage", "layers", "[m.layersOf(null), m.layersOf({}), m.layersOf({0: {layers: 1}})]", `[[],[],[]]`},
		{"layer request", "layers", "['auto', 'q', '180p', '480', 'x', {maxWidth: 9}].map((c) => m.layerRequest(c, [{rid: 'q', height: 180}]))", `[{},{"rid":"q"},{"rid":"q"},{"maxHeight":480},{},{"maxWidth":9}]`},
		{"chosen layer", "layers", "['auto', 'h', '360p', '480p', '90p', 'hls-1'].map((c) => { const l = [{rid: 'f', height: 720}, {rid: 'h', height: 360}]; return [m.chosenLayer(c, l)?.rid ?? '', m.chosenHeight(c, l)]; })", `[["",0],["h",360],["h",360],["h",360],["",90],["",0]]`},
		{"qualities of a library", "../player/ladder", "(() => { const hls = {levels: [{height: 180, bitrate: 1}, {height: 720, bitrate: 9}]}; return [m.layersOfLibrary(hls).map((l) => l.rid), [90, 400, 500].map((h) => m.nearestLevel(hls, h)), m.nearestLevel(null, 1)]; })()", `[["hls-1","hls-0"],[0,0,1],-1]`},
		{"one sound of a library", "../player/library", "(() => { const levels = [['a', 'mp4a'], ['a', 'opus'], ['b', 'opus'], ['b', 'mp4a'], ['c', 'mp4a']].map(([uri, audioCodec]) => ({uri, audioCodec})); m.keepOneSound({levels, removeLevel: (i) => levels.splice(i, 1)}); return levels.map((l) => l.uri + l.audioCodec); })()", `["aopus","bopus","cmp4a"]`},
		{"playlists with holes", "../player/library", "(() => { class Base { onLevelLoaded(_, {details}) { this.read = details.id; } } const sound = new (m.prompt(Base))(); const read = (details) => { sound.onLevelLoaded('', {details}); return sound.read; }; return [read({id: 1, fragments: [{}]}), read({id: 2, fragments: [null, {}]}), read({id: 3, fragments: [{}], deltaUpdateFailed: true})]; })()", `[1,1,1]`},
		{"positions in what is missing", "../player/positions", "(() => { const d = {edge: 20, fragments: [{start: 10, programDateTime: 10e3}, {start: 12, programDateTime: 12e3, gap: true}, {start: 14, programDateTime: 14e3, gap: true}, {start: 16, programDateTime: 16e3}, {start: 18, programDateTime: 18e3, gap: true}]}; return [11e3, 12e3, 15e3, 17e3, 19e3].map((c) => m.positionOf(c, d)); })()", `[11,16.1,16.1,17,19]`},
		{"positions in a playlist", "../player/positions", "(() => { const d = {edge: 14, fragments: [{start: 10, programDateTime: 5e3}, {start: 12, programDateTime: 17e3}], partList: [{start: 10, independent: true, url: 'a'}, {start: 11, url: 'b'}, {start: 12, independent: true, url: 'c'}, {start: 13, gap: true}]}; return [[0, 6e3, 18e3, 9e9].map((c) => m.positionOf(c, d)), m.captureOf(13, d), m.rangeOf(d), m.rangeOf({edge: 1, fragments: []}), m.partsFrom(11.5, d), m.partsFrom(13, d), m.partsFrom(1, {})]; })()", `[[10.1,11,13,13.85],18000,{"from":5000,"to":19000},null,["a","b","c"],["c"],[]]`},
		{"simulcast", "encodings", "m.encodings({simulcast: true, height: 720, fps: 30, maxBitrate: 0}).map((e) => [e.rid, e.scaleResolutionDownBy, e.maxBitrate])", `[["q",4,150000],["h",2,500000],["f",1,2500000]]`},
		{"one layer", "encodings", "m.encodings({simulcast: false, height: 1080, fps: 30, maxBitrate: 1e6}).map((e) => [e.rid ?? '', e.maxBitrate])", `[["",1000000]]`},
		{"simulcast of AV1", "encodings", "m.encodings({simulcast: true, height: 720, fps: 30, maxBitrate: 0, codec: 'AV1'}).map((e) => [e.rid, e.scalabilityMode])", `[["q","L1T3"],["h","L1T3"],["f","L1T3"]]`},
		{"thumbnail cues", "cues", "m.parseThumbnails('WEBVTT\\n\\nNOTE X-RECORDING-START=1970-01-01T00:00:01Z\\n\\n00:00:10.000 --> 01:00:20.500\\nthumb1.jpg\\n')", `{"start":1000,"cues":[{"from":10,"to":3620.5,"uri":"thumb1.jpg"}]}`},
		{"thumbnails that come late", "../player/thumbnails", "(async () => { const [now, get] = [performance.now, fetch]; let at = 1e6; const answers = ['WEBVTT\\n', 'WEBVTT\\n\\nNOTE X-RECORDING-START=1970-01-01T00:00:00Z\\n\\n00:00:00.000 --> 00:00:10.000\\n0.jpg\\n', '', 'picture']; performance.now = () => at; window.fetch = async () => { const text = answers.shift(); return new Response(text, {status: text ? 200 : 503}); }; const t = new m.Thumbnails('http://a/thumbs.vtt'); await t.refresh(); const seen = []; for (const later of [100, 2000, 100]) { at += later; seen.push((await t.at(5000)).slice(0, 5)); } performance.now = now; window.fetch = get; return seen; })()", `["","","blob:"]`},
		{"thumbnail cues, garbage", "cues", "m.parseThumbnails('x --> y')", `{"start":null,"cues":[]}`},
		{"capture time of a picture", "capture", "(() => { const v = {requestVideoFrameCallback(f) { this.f = f; }}; const c = new m.CaptureClock(v); const before = c.capture; v.f(performance.now()); c.update(new Map([[1, {type: 'inbound-rtp', kind: 'video', estimatedPlayoutTimestamp: 2208988800000 + 5e12, timestamp: 5e12 + 1000}]])); v.f(100); return [before, Math.round(c.capture - performance.timeOrigin), c.frames]; })()", `[null,-900,2]`},
		{"capture time of a picture that comes late", "capture", "(() => { const v = {requestVideoFrameCallback(f) { this.f = f; }}; const c = new m.CaptureClock(v); const show = (ticks) => v.f(performance.now(), {rtpTimestamp: ticks >>> 0}); show(-90); c.update(new Map([[1, {type: 'inbound-rtp', kind: 'video', estimatedPlayoutTimestamp: 2208988800000 + 5e12, timestamp: 5e12 + 1000}]])); const from = c.capture; return [-90, 90 * 40, -90 * 500, 90 * 3000].map((t) => { show(t); return Math.round(c.capture - from); }); })()", `[0,41,-499,3001]`},
		{"places", "places", "(() => { const p = new m.Places('http://a/whep/s'); const link = (url) => ({url, params: {rel: 'urn:sluice:whep:ext:backup-endpoint'}}); p.opened('http://a/whep/s', [link('http://b/whep/s'), link('http://c/whep/s'), link('javascript:1')]); const out = [p.size]; p.failed('http://a/whep/s'); out.push(p.first); p.failed('http://b/whep/s'); out.push(p.first); p.opened('http://c/whep/s', [link('http://b/whep/s')]); out.push(p.first, p.size); return out; })()", `[3,"http://b/whep/s","http://c/whep/s","http://c/whep/s",3]`},
		{"playlist by the browser", "../player/native", "(() => { const v = {currentTime: 0, seekable: {length: 1, start: () => 0, end: () => 60}, getStartDate: () => new Date(1e12), canPlayType: () => 'maybe', addEventListener(type, f) { this[type] = f; }}; const n = new m.NativeSource({video: v, url: '/hls/s/index.m3u8', token: 'a&b'}); n.start(1e12 + 30000); v.loadedmetadata(); const out = [m.NativeSource.supported(v), new URL(v.src).search, v.currentTime, n.capture - 1e12, n.range.to - 1e12]; n.seek(1e12 + 9e9); return [...out, v.currentTime, m.NativeSource.supported({canPlayType: () => 'maybe'}), m.NativeSource.supported({...v, canPlayType: () => ''})]; })()", `[true,"?token=a%26b",30,30000,60000,60,false,false]`},
		{"durations", "format", "[7e3, 754e3, 3723e3, 2e8].map(m.duration)", `["0:07","12:34","1:02:03","2 d 7 h"]`},
		{"clock survives 160x90", "clock", "(() => { const big = new OffscreenCanvas(1280, 720); m.drawClock(big.getContext('2d'), 720, 1795249231113); return m.readFrame(new OffscreenCanvas(160, 90).getContext('2d'), big, 160, 90); })()", `1795249231113`},
		{"no clock", "clock", "(() => { const c = new OffscreenCanvas(160, 90); const x = c.getContext('2d'); x.fillStyle = '#fff'; x.fillRect(0, 0, 160, 90); return m.readFrame(new OffscreenCanvas(160, 90).getContext('2d'), c, 160, 90); })()", `0`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := eval[string](b, "import('/lib/"+tt.module+".js').then(async (m) => JSON.stringify(await ("+tt.expression+")))")
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
