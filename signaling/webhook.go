package signaling

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/livekit/protocol/livekit"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sluice-live/sluice"
)

// NewRoom is a room that begins now. Its SID has the form of LiveKit's.
func NewRoom(stream string, now time.Time) Room {
	return Room{Stream: stream, SID: newSID("RM_"), Started: now.Truncate(time.Millisecond)}
}

// newSID makes a server id of LiveKit's form: two letters for the kind, and twelve.
func newSID(prefix string) string { return prefix + rand.Text()[:12] }

// webhookNames are LiveKit's names of events.
func webhookNames() map[sluice.EventKind]string {
	return map[sluice.EventKind]string{
		sluice.EventStreamStarted: "room_started", sluice.EventStreamEnded: "room_finished",
		sluice.EventSessionJoined: "participant_joined", sluice.EventSessionLeft: "participant_left",
		sluice.EventTrackPublished: "track_published", sluice.EventTrackUnpublished: "track_unpublished",
		sluice.EventRecordingStarted: "egress_started", sluice.EventRecordingFinished: "egress_ended",
	}
}

// Webhook is what all webhook events of a node have in common.
type Webhook struct {
	Region string
	Grace  time.Duration // of streams
	Base   string        // where recordings are served, without a slash at the end
}

// Body is an event as LiveKit's webhooks tell it: livekit.WebhookEvent as JSON, with
// an id that is new each time.
func (w Webhook) Body(e sluice.Event, room Room) ([]byte, error) {
	name, known := webhookNames()[e.Kind]
	if !known {
		return nil, fmt.Errorf("webhook: no event is named for %q", e.Kind)
	}
	out := &livekit.WebhookEvent{Event: name, Id: newSID("EV_"), CreatedAt: e.At.Unix()}
	if e.Recording != nil { // LiveKit's egress names its room itself
		out.EgressInfo = w.egress(e, room)
	} else {
		out.Room = w.room(room)
	}
	if s := e.Session; s != nil {
		out.Participant = w.participant(e.Kind, s)
		if e.Track != nil {
			out.Track = track(s, e.Track)
		}
	}
	body, err := protojson.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	return body, nil
}

func (w Webhook) room(r Room) *livekit.Room {
	out := &livekit.Room{Sid: r.SID, Name: r.Stream, DepartureTimeout: uint32(w.Grace.Seconds())}
	if !r.Started.IsZero() {
		out.CreationTime, out.CreationTimeMs = r.Started.Unix(), r.Started.UnixMilli()
	}
	return out
}

// participant is a session. One without an identity is known by its id.
func (w Webhook) participant(kind sluice.EventKind, s *sluice.Session) *livekit.ParticipantInfo {
	out := &livekit.ParticipantInfo{
		Sid: "PA_" + s.ID, Identity: s.Grant.Identity, Name: s.Grant.Name, Region: w.Region,
		State: livekit.ParticipantInfo_ACTIVE, IsPublisher: s.Publisher,
		JoinedAt: s.Since.Unix(), JoinedAtMs: s.Since.UnixMilli(),
		Permission: &livekit.ParticipantPermission{
			CanPublish: s.Grant.Publish, CanSubscribe: s.Grant.Watch, CanPublishData: s.Grant.Chat,
		},
	}
	if out.Identity == "" {
		out.Identity = s.ID
	}
	if kind == sluice.EventSessionLeft {
		out.State = livekit.ParticipantInfo_DISCONNECTED
	}
	return out
}

func track(s *sluice.Session, t *sluice.SentTrack) *livekit.TrackInfo {
	out := &livekit.TrackInfo{
		Sid: "TR_A" + s.ID, Type: livekit.TrackType_AUDIO, Name: "audio", Source: livekit.TrackSource_MICROPHONE, MimeType: "audio/" + t.Codec,
	}
	if t.Video {
		out.Sid, out.Type, out.Name, out.Source, out.MimeType = "TR_V"+s.ID, livekit.TrackType_VIDEO, "video", livekit.TrackSource_CAMERA, "video/"+t.Codec
	}
	layers := videoLayers(t.Layers)
	if len(layers) > 0 {
		out.Width, out.Height = layers[0].Width, layers[0].Height
	}
	//lint:ignore SA1019 receivers read these
	out.Simulcast, out.Layers = t.Simulcast, layers
	out.Codecs = []*livekit.SimulcastCodecInfo{{MimeType: out.MimeType, Layers: layers}}
	return out
}

// videoLayers names the best layer HIGH, as LiveKit does, and those below it MEDIUM
// and LOW.
func videoLayers(all []sluice.Layer) []*livekit.VideoLayer {
	var out []*livekit.VideoLayer
	for i, l := range all {
		quality := livekit.VideoQuality(max(int(livekit.VideoQuality_HIGH)-i, int(livekit.VideoQuality_LOW)))
		out = append(out, &livekit.VideoLayer{
			Quality: quality, Width: uint32(l.Width), Height: uint32(l.Height), Bitrate: uint32(l.Bitrate), Rid: l.RID,
		})
	}
	return out
}

// egress is a recording: the egress of a room as segments, which are there as one
// file too.
func (w Webhook) egress(e sluice.Event, room Room) *livekit.EgressInfo {
	rec := e.Recording
	began := rec.Started.UnixNano()
	path := strings.TrimSuffix(w.Base, "/") + "/vod/" + rec.ID
	segments := &livekit.SegmentsInfo{PlaylistName: "index.m3u8", PlaylistLocation: path + "/index.m3u8", StartedAt: began}
	file := &livekit.FileInfo{Filename: "recording.mp4", Location: path + "/recording.mp4", StartedAt: began}
	out := &livekit.EgressInfo{
		EgressId: rec.ID, RoomId: room.SID, RoomName: e.Stream, SourceType: livekit.EgressSourceType_EGRESS_SOURCE_TYPE_SDK,
		Status: livekit.EgressStatus_EGRESS_ACTIVE, StartedAt: began, UpdatedAt: e.At.UnixNano(),
		Request: &livekit.EgressInfo_RoomComposite{RoomComposite: &livekit.RoomCompositeEgressRequest{RoomName: e.Stream}},
	}
	if !rec.Ended.IsZero() {
		ended := rec.Ended.UnixNano()
		out.Status, out.EndedAt = livekit.EgressStatus_EGRESS_COMPLETE, ended
		segments.EndedAt, segments.Duration = ended, max(0, ended-began)
		file.EndedAt, file.Duration = ended, segments.Duration
		out.FileResults = []*livekit.FileInfo{file}
	}
	out.SegmentResults = []*livekit.SegmentsInfo{segments}
	return out
}
