package signaling_test

import (
	"testing"
	"time"

	"github.com/livekit/protocol/livekit"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/signaling"
)

// body reads an event as LiveKit's types have it, and refuses what they do not know.
func body(t *testing.T, w signaling.Webhook, e sluice.Event, room signaling.Room) *livekit.WebhookEvent {
	t.Helper()
	raw, err := w.Body(e, room)
	if err != nil {
		t.Fatal(err)
	}
	out := &livekit.WebhookEvent{}
	if err := protojson.Unmarshal(raw, out); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return out
}

func TestWebhookBody(t *testing.T) {
	w := signaling.Webhook{Region: "eu", Grace: 30 * time.Second, Base: "https://live.example"}
	at := time.UnixMilli(1_700_000_000_123)
	room := signaling.Room{Stream: "demo", SID: "RM_a", Started: at.Add(-time.Minute)}
	publisher := &sluice.Session{ID: "abc", Publisher: true, Since: at, Grant: sluice.Grant{Identity: "alice", Name: "Alice", Publish: true, Chat: true}}
	video := &sluice.SentTrack{Video: true, Codec: "H264", Simulcast: true, Layers: []sluice.Layer{
		{RID: "f", Width: 1280, Height: 720}, {RID: "h", Width: 640, Height: 360}, {RID: "q", Width: 320, Height: 180}, {RID: "x"},
	}}
	ids := map[string]bool{}
	for kind, name := range map[sluice.EventKind]string{
		sluice.EventStreamStarted: "room_started", sluice.EventStreamEnded: "room_finished",
		sluice.EventSessionJoined: "participant_joined", sluice.EventSessionLeft: "participant_left",
		sluice.EventTrackPublished: "track_published", sluice.EventTrackUnpublished: "track_unpublished",
	} {
		e := sluice.Event{Kind: kind, Stream: "demo", At: at}
		if kind != sluice.EventStreamStarted && kind != sluice.EventStreamEnded {
			e.Session = publisher
		}
		if kind == sluice.EventTrackPublished {
			e.Track = video
		}
		got := body(t, w, e, room)
		if got.Event != name || got.CreatedAt != at.Unix() || got.Id == "" || ids[got.Id] {
			t.Errorf("%s: %v", name, got)
		}
		ids[got.Id] = true
		if r := got.Room; r.Sid != "RM_a" || r.Name != "demo" || r.CreationTimeMs != room.Started.UnixMilli() || r.CreationTime != room.Started.Unix() {
			t.Errorf("%s: room %v", name, r)
		}
		if (got.Participant != nil) != (e.Session != nil) || (got.Track != nil) != (e.Track != nil) || got.EgressInfo != nil {
			t.Errorf("%s: %v", name, got)
		}
	}

	e := sluice.Event{Kind: sluice.EventTrackPublished, Stream: "demo", At: at, Session: publisher, Track: video}
	got := body(t, w, e, room)
	if p := got.Participant; p.Identity != "alice" || p.Name != "Alice" || p.Sid != "PA_abc" || !p.IsPublisher || p.State != livekit.ParticipantInfo_ACTIVE ||
		p.JoinedAtMs != at.UnixMilli() || p.Region != "eu" || !p.Permission.CanPublish || p.Permission.CanSubscribe || !p.Permission.CanPublishData {
		t.Errorf("participant %v", p)
	}
	if tr := got.Track; tr.Type != livekit.TrackType_VIDEO || tr.Source != livekit.TrackSource_CAMERA || tr.MimeType != "video/H264" || tr.Width != 1280 || tr.Height != 720 ||
		len(tr.Codecs) != 1 || len(tr.Codecs[0].Layers) != 4 || tr.Codecs[0].Layers[2].Quality != livekit.VideoQuality_LOW || tr.Codecs[0].Layers[0].Quality != livekit.VideoQuality_HIGH {
		t.Errorf("track %v", tr)
	}
	e.Kind, e.Session, e.Track = sluice.EventSessionLeft, &sluice.Session{ID: "v1"}, nil
	if p := body(t, w, e, room).Participant; p.Identity != "v1" || p.State != livekit.ParticipantInfo_DISCONNECTED || p.IsPublisher {
		t.Errorf("who has no identity: %v", p)
	}
	if _, err := w.Body(sluice.Event{Kind: "other"}, room); err == nil {
		t.Error("an event without a name is told")
	}
}

func TestWebhookOfARecording(t *testing.T) {
	w := signaling.Webhook{Base: "https://live.example/"}
	began := time.UnixMilli(1_700_000_000_123)
	rec := &sluice.Recording{ID: "rec1", Stream: "demo", Started: began}
	e := sluice.Event{Kind: sluice.EventRecordingStarted, Stream: "demo", At: began, Recording: rec}
	room := signaling.Room{Stream: "demo", SID: "RM_a"}
	got := body(t, w, e, room)
	if i := got.EgressInfo; got.Event != "egress_started" || got.Room != nil || i.EgressId != "rec1" || i.RoomId != "RM_a" || i.RoomName != "demo" ||
		i.Status != livekit.EgressStatus_EGRESS_ACTIVE || i.StartedAt != began.UnixNano() || i.EndedAt != 0 || len(i.FileResults) != 0 {
		t.Errorf("%v", got)
	}
	e.Kind, e.Recording = sluice.EventRecordingFinished, &sluice.Recording{ID: "rec1", Stream: "demo", Started: began, Ended: began.Add(time.Minute)}
	got = body(t, w, e, room)
	i := got.EgressInfo
	if got.Event != "egress_ended" || i.Status != livekit.EgressStatus_EGRESS_COMPLETE || i.EndedAt != began.Add(time.Minute).UnixNano() ||
		len(i.FileResults) != 1 || len(i.SegmentResults) != 1 {
		t.Fatalf("%v", got)
	}
	if f := i.FileResults[0]; f.Location != "https://live.example/vod/rec1/recording.mp4" || f.Duration != int64(time.Minute) {
		t.Errorf("file %v", f)
	}
	if s := i.SegmentResults[0]; s.PlaylistLocation != "https://live.example/vod/rec1/index.m3u8" || s.Duration != int64(time.Minute) {
		t.Errorf("segments %v", s)
	}
}
