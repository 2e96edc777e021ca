package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3 is a prefix of a bucket.
type S3 struct {
	client    *minio.Client
	transport *http.Transport
	bucket    string
	prefix    string // "" or with a slash at its end
}

var _ Shared = (*S3)(nil)

// openS3 reads s3://key:secret@bucket/prefix. Parameters: endpoint, a URL, else
// Amazon's; region; style, "path" or "host", else what suits the endpoint. Without
// a key the environment (AWS_ACCESS_KEY_ID and so on), the credentials file or the
// machine's role says it.
func openS3(u *url.URL) (*S3, error) {
	endpoint, err := url.Parse("https://s3.amazonaws.com")
	options := &minio.Options{MaxRetries: 1}
	for key, values := range u.Query() {
		switch value := values[0]; key {
		case "endpoint":
			endpoint, err = url.Parse(value)
			if err != nil || endpoint.Scheme != "http" && endpoint.Scheme != "https" || endpoint.Host == "" || strings.Trim(endpoint.Path, "/") != "" {
				return nil, errors.New("endpoint is not of the form https://host:port")
			}
		case "region":
			options.Region = value
		case "style":
			styles := map[string]minio.BucketLookupType{"path": minio.BucketLookupPath, "host": minio.BucketLookupDNS}
			style, ok := styles[value]
			if !ok {
				return nil, errors.New("style is neither path nor host")
			}
			options.BucketLookup = style
		default:
			return nil, fmt.Errorf("unknown parameter %q: there are endpoint, region and style", key)
		}
	}
	if err != nil || u.Host == "" {
		return nil, errors.New("not of the form s3://bucket/prefix?endpoint=https://host")
	}
	if options.Region == "" && endpoint.Host != "s3.amazonaws.com" {
		options.Region = "us-east-1" // else each bucket is asked for its own first
	}
	options.Creds = credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{}})
	if u.User != nil {
		secret, _ := u.User.Password()
		options.Creds = credentials.NewStaticV4(u.User.Username(), secret, "")
	}
	options.Secure = endpoint.Scheme == "https"
	s := &S3{bucket: u.Host}
	if s.transport, err = minio.DefaultTransport(options.Secure); err != nil {
		return nil, err
	}
	options.Transport = s.transport
	if s.prefix = strings.Trim(u.Path, "/"); s.prefix != "" {
		if err := checkName("open", s.prefix); err != nil {
			return nil, errors.New("the prefix is no plain path")
		}
		s.prefix += "/"
	}
	s.client, err = minio.New(endpoint.Host, options)
	return s, err
}

// Put implements Shared. The store checks the bytes by their MD5.
func (s *S3) Put(ctx context.Context, name string, data []byte) error {
	if err := checkName("put", name); err != nil {
		return err
	}
	_, err := s.client.PutObject(ctx, s.bucket, s.prefix+name, bytes.NewReader(data), int64(len(data)),
		minio.PutObjectOptions{SendContentMd5: true, DisableMultipart: true, ContentType: contentType(name)})
	return s.fault("put", name, err)
}

func contentType(name string) string {
	switch path.Ext(name) {
	case ".m4s", ".mp4":
		return "video/mp4"
	case ".jpg":
		return "image/jpeg"
	default:
		return "application/octet-stream"
	}
}

// Get implements Shared.
func (s *S3) Get(ctx context.Context, name string, limit int64) (_ []byte, err error) {
	if err := checkName("get", name); err != nil {
		return nil, err
	}
	object, err := s.client.GetObject(ctx, s.bucket, s.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, s.fault("get", name, err)
	}
	defer func() { err = errors.Join(err, object.Close()) }()
	data, err := io.ReadAll(io.LimitReader(object, limit+1))
	if err != nil {
		return nil, s.fault("get", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("get %s: more than %d bytes", name, limit)
	}
	return data, nil
}

// List implements Shared.
func (s *S3) List(ctx context.Context, folder string) ([]Entry, error) {
	if err := checkName("list", folder); err != nil {
		return nil, err
	}
	within := s.prefix
	if folder != "." {
		within += folder + "/"
	}
	owner := false
	ctx, cancel := context.WithCancel(ctx) // ends the listing, whatever is left of it
	defer cancel()
	var all []Entry
	for object := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: within, FetchOwner: &owner}) {
		if object.Err != nil {
			return nil, s.fault("list", folder, object.Err)
		}
		name, isFolder := strings.CutSuffix(strings.TrimPrefix(object.Key, within), "/")
		if name != "" {
			all = append(all, Entry{Name: name, Folder: isFolder, Size: object.Size})
		}
	}
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return all, ctx.Err()
}

// Delete implements Shared.
func (s *S3) Delete(ctx context.Context, name string) error {
	if err := checkName("delete", name); err != nil {
		return err
	}
	err := s.fault("delete", name, s.client.RemoveObject(ctx, s.bucket, s.prefix+name, minio.RemoveObjectOptions{}))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// DeleteFolder implements Shared.
func (s *S3) DeleteFolder(ctx context.Context, folder string) error {
	if err := checkName("delete", folder); err != nil {
		return err
	}
	entries, err := s.List(ctx, folder)
	for _, e := range entries {
		if name := path.Join(folder, e.Name); e.Folder {
			err = errors.Join(err, s.DeleteFolder(ctx, name))
		} else {
			err = errors.Join(err, s.Delete(ctx, name))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return err
}

// Close ends idle connections.
func (s *S3) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// fault gives an error its operation, and what does not exist its own error.
func (s *S3) fault(op, name string, err error) error {
	if err == nil {
		return nil
	}
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && (answer.Code == minio.NoSuchKey || answer.StatusCode == http.StatusNotFound && answer.Code != minio.NoSuchBucket) {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return fmt.Errorf("%s %s: %w", op, name, err)
}
