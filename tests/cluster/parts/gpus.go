package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	plugin "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const (
	registerWithin = 5 * time.Second
	lookEvery      = 200 * time.Millisecond
)

// gpus is a device plugin for devices that are not there: gpus RESOURCE=COUNT..., as in
// nvidia.com/gpu=4 nvidia.com/mig-1g.10gb=7.
//
// The kubelet counts, hands out and forgets them as it does real ones, and a container finds what it got where NVIDIA's
// plugin puts it. While the file unhealthy/DEVICE exists beside the sockets, that device is said to be broken.
func gpus(arguments []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	failed := make(chan error)
	for _, argument := range arguments[1:] {
		kind, err := parse(argument)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
		go func() { failed <- kind.serve(ctx) }()
	}
	select {
	case err := <-failed:
		fmt.Fprintln(os.Stderr, err)
		return 1
	case <-ctx.Done():
		return 0
	}
}

// devices are those of one resource.
type devices struct {
	plugin.UnimplementedDevicePluginServer
	resource string
	names    []string
}

func parse(argument string) (*devices, error) {
	resource, number, found := strings.Cut(argument, "=")
	count, err := strconv.Atoi(number)
	if !found || err != nil || count < 0 {
		return nil, fmt.Errorf("%q is not RESOURCE=COUNT; write nvidia.com/gpu=2", argument)
	}
	kind := &devices{resource: resource}
	short := strings.ToUpper(resource[strings.LastIndex(resource, "/")+1:])
	for i := range count {
		kind.names = append(kind.names, fmt.Sprintf("%s-fake-%d", short, i))
	}
	return kind, nil
}

func (d *devices) socket() string {
	return filepath.Join(plugin.DevicePluginPath, strings.ReplaceAll(d.resource, "/", "-")+".sock")
}

// serve answers the kubelet until the context ends. A kubelet that starts anew has forgotten every plugin and emptied their
// folder before it listens again, so the plugin begins anew, too, as soon as its socket is gone.
func (d *devices) serve(ctx context.Context) error {
	for pause(ctx) {
		if !exists(plugin.KubeletSocket) {
			continue
		}
		if err := d.serveOnce(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *devices) serveOnce(ctx context.Context) error {
	if err := os.Remove(d.socket()); err != nil && !os.IsNotExist(err) {
		return err
	}
	listener, err := net.Listen("unix", d.socket())
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	plugin.RegisterDevicePluginServer(server, d)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	if err := d.register(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return nil
	}
	fmt.Println("registered", d.resource, len(d.names))
	for exists(d.socket()) && pause(ctx) {
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// pause returns whether to go on.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(lookEvery):
		return true
	}
}

func (d *devices) register(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, registerWithin)
	defer cancel()
	connection, err := grpc.NewClient("unix://"+plugin.KubeletSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = plugin.NewRegistrationClient(connection).Register(ctx, &plugin.RegisterRequest{
		Version:      plugin.Version,
		Endpoint:     filepath.Base(d.socket()),
		ResourceName: d.resource,
	})
	return err
}

func (d *devices) GetDevicePluginOptions(context.Context, *plugin.Empty) (*plugin.DevicePluginOptions, error) {
	return &plugin.DevicePluginOptions{}, nil
}

func (d *devices) ListAndWatch(_ *plugin.Empty, stream plugin.DevicePlugin_ListAndWatchServer) error {
	var said []string
	for {
		if now := d.states(); !slices.Equal(said, now) {
			response := &plugin.ListAndWatchResponse{}
			for i, state := range now {
				response.Devices = append(response.Devices, &plugin.Device{ID: d.names[i], Health: state})
			}
			if err := stream.Send(response); err != nil {
				return err
			}
			said = now
		}
		if !pause(stream.Context()) {
			return nil
		}
	}
}

// states returns the health of each device, in the order of the names.
func (d *devices) states() []string {
	states := make([]string, 0, len(d.names))
	for _, name := range d.names {
		state := plugin.Healthy
		if exists(filepath.Join(plugin.DevicePluginPath, "unhealthy", name)) {
			state = plugin.Unhealthy
		}
		states = append(states, state)
	}
	return states
}

func (d *devices) Allocate(_ context.Context, request *plugin.AllocateRequest) (*plugin.AllocateResponse, error) {
	response := &plugin.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		response.ContainerResponses = append(response.ContainerResponses, &plugin.ContainerAllocateResponse{
			Envs: map[string]string{"NVIDIA_VISIBLE_DEVICES": strings.Join(container.DevicesIds, ",")},
		})
	}
	return response, nil
}
