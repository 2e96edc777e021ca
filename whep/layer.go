package whep

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	sluice "github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/problem"
	"github.com/sluice-live/sluice/internal/wish"
)

const jsonType = "application/json"

// extensionBytes bounds the bodies of both extensions.
const extensionBytes = 4 << 10

// layerRequest is the body of a layer selection. Names that are not here are
// ignored.
type layerRequest struct {
	MediaID            *mediaID `json:"mediaId"`    // number of the media section; absent: the video
	RID                string   `json:"rid"`        // "" for automatic
	EncodingID         string   `json:"encodingId"` // Broadcast Box's name of rid
	SpatialLayerID     *int     `json:"spatialLayerId"`
	TemporalLayerID    *int     `json:"temporalLayerId"`
	MaxSpatialLayerID  *int     `json:"maxSpatialLayerId"`
	MaxTemporalLayerID *int     `json:"maxTemporalLayerId"`
	MaxWidth           int      `json:"maxWidth"` // pixels; 0: no limit
	MaxHeight          int      `json:"maxHeight"`
}

// mediaID is a string by the draft; players also send the number.
type mediaID string

func (m *mediaID) UnmarshalJSON(b []byte) error {
	if n, err := strconv.Atoi(string(b)); err == nil {
		*m = mediaID(strconv.Itoa(n))
		return nil
	}
	return json.Unmarshal(b, (*string)(m))
}

func layerMethods() []string { return []string{http.MethodOptions, http.MethodPost} }

// Layer serves the layer selection URL of a session.
func (h *Handler) Layer(w http.ResponseWriter, r *http.Request, stream, secret string) {
	wish.CORS(w.Header(), layerMethods()...)
	if err := sluice.CheckStreamName(stream); err != nil {
		h.endpoint.Fail(w, r, err)
		return
	}
	switch r.Method {
	case http.MethodOptions:
		options(w, layerMethods()...)
	case http.MethodPost:
		if err := h.selectLayer(w, r, stream, secret); err != nil {
			h.endpoint.Fail(w, r, err)
			return
		}
		wish.Empty(w, http.StatusOK)
	default:
		problem.MethodNotAllowed(w, r, layerMethods()...)
	}
}

func options(w http.ResponseWriter, methods ...string) {
	w.Header().Set("Allow", strings.Join(methods, ", "))
	w.Header().Set("Accept-Post", jsonType)
	wish.Empty(w, http.StatusOK)
}

func (h *Handler) selectLayer(w http.ResponseWriter, r *http.Request, stream, secret string) error {
	entry, err := h.endpoint.Lookup(r, stream, secret)
	if err != nil {
		return err
	}
	if err := wish.CheckType(r, jsonType); err != nil {
		return err
	}
	body, err := h.endpoint.ReadBody(w, r, extensionBytes)
	if err != nil {
		return err
	}
	var req layerRequest
	if err := json.Unmarshal([]byte(body), &req); err != nil {
		return &sluice.Error{Code: sluice.CodeInvalid, Detail: "the body is not a layer selection in JSON", Err: err}
	}
	choice, err := req.choice(entry.Shape)
	if err != nil {
		return err
	}
	return entry.Session.SelectLayer(choice)
}

// choice translates the request. Whether the layers exist is the session's to
// say.
func (q layerRequest) choice(shape wish.Shape) (sluice.LayerChoice, error) {
	var none sluice.LayerChoice
	if q.MediaID != nil && (shape.Video < 0 || string(*q.MediaID) != strconv.Itoa(shape.Video) && string(*q.MediaID) != shape.VideoMid) {
		return none, sluice.Errorf(sluice.CodeUnprocessable, "there is no video with that mediaId")
	}
	if q.MaxWidth < 0 || q.MaxHeight < 0 || negative(q.SpatialLayerID) || negative(q.TemporalLayerID) ||
		negative(q.MaxSpatialLayerID) || negative(q.MaxTemporalLayerID) {
		return none, sluice.Errorf(sluice.CodeInvalid, "a layer or size is negative")
	}
	if q.RID != "" && q.EncodingID != "" && q.RID != q.EncodingID {
		return none, sluice.Errorf(sluice.CodeInvalid, "rid and encodingId name different layers")
	}
	rid := q.RID
	if rid == "" {
		rid = q.EncodingID
	}
	return sluice.LayerChoice{
		RID: rid, MaxWidth: q.MaxWidth, MaxHeight: q.MaxHeight,
		Spatial: layerID(q.SpatialLayerID), Temporal: layerID(q.TemporalLayerID),
		MaxSpatial: layerID(q.MaxSpatialLayerID), MaxTemporal: layerID(q.MaxTemporalLayerID),
	}, nil
}

func layerID(n *int) sluice.LayerID {
	if n == nil {
		return sluice.LayerID{}
	}
	return sluice.LayerID{N: *n, Set: true}
}

func negative(n *int) bool { return n != nil && *n < 0 }
