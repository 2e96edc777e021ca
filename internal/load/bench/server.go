package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// server is a program to measure.
type server struct {
	name  string
	start func(ctx context.Context, dir string) (*process, error)
	step  int // of a search
}

// process is a server that runs.
type process struct {
	cmd        *exec.Cmd
	ended      chan struct{} // closed when it has
	err        error         // of its end; read after ended
	whip, whep string
}

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 20 * time.Second
)

func (s settings) startSluice(ctx context.Context, dir string) (*process, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	addr := "127.0.0.1:" + ports[0]
	p := &process{whip: "http://" + addr + "/whip/bench", whep: "http://" + addr + "/whep/bench"}
	return p, p.launch(ctx, dir, addr, "taskset", "-c", s.serverCore, s.sluice, "serve", "--http.addr="+addr, "--ops.addr=",
		"--media.addr=:"+ports[1], "--data.dir="+filepath.Join(dir, "data"), "--log.level=warn", "--record.enabled=false", "--limits.pending_per_ip=3000")
}

// freePorts finds ports that nothing listens on, with TCP or UDP.
func freePorts(n int) ([]string, error) {
	var ports []string
	for len(ports) < n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // at the end, so that all differ
		port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		u, err := net.ListenPacket("udp", ":"+port)
		if err != nil {
			continue // taken: the next
		}
		defer func() { _ = u.Close() }()
		ports = append(ports, port)
	}
	return ports, nil
}

// launch starts the program and waits until it listens. Its output goes to a
// file, of which the end is told when it does not start.
func (p *process) launch(ctx context.Context, dir, addr string, command ...string) error {
	path := filepath.Join(dir, "log")
	log, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.ended = make(chan struct{})
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
		case <-p.ended:
		case <-time.After(50 * time.Millisecond):
			continue
		}
		text, _ := os.ReadFile(path)
		return errors.Join(fmt.Errorf("%s does not start: %s", command[3], text[max(len(text)-500, 0):]), p.stop())
	}
}

// stop ends the program.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	kill := time.AfterFunc(stopTimeout, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	<-p.ended
	if _, ended := errors.AsType[*exec.ExitError](p.err); ended {
		return nil // by the signal
	}
	return p.err
}
