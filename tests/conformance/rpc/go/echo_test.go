// grpc-go against the gRPC server, item by item. The echo server's path comes in CAIRN_ECHO_SERVER.
package rpc

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

const patience = 20 * time.Second

// rawCodec passes message bytes through, so that no generated code is needed.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte{}, data...)
	return nil
}
func (rawCodec) Name() string { return "proto" }

// The fields of echo.proto by number.
func bytesField(number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), value)
}

func numberField(number protowire.Number, value int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), uint64(value))
}

func fields(t *testing.T, message []byte) (numbers map[protowire.Number]int64, payload []byte) {
	t.Helper()
	numbers = map[protowire.Number]int64{}
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			t.Fatal("not protobuf")
		}
		message = message[n:]
		switch kind {
		case protowire.VarintType:
			value, n := protowire.ConsumeVarint(message)
			numbers[number] = int64(value)
			message = message[n:]
		case protowire.BytesType:
			value, n := protowire.ConsumeBytes(message)
			payload = value
			message = message[n:]
		default:
			t.Fatalf("unexpected wire type %v", kind)
		}
	}
	return numbers, payload
}

type echo struct {
	t       *testing.T
	process *exec.Cmd
	address string
	conn    *grpc.ClientConn
}

func start(t *testing.T, options ...grpc.DialOption) *echo {
	t.Helper()
	process := exec.Command(os.Getenv("CAIRN_ECHO_SERVER"))
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatalf("the echo server (CAIRN_ECHO_SERVER) does not start: %v", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{t: t, process: process, address: "127.0.0.1:" + strings.TrimSpace(strings.TrimPrefix(line, "port "))}
	e.conn = e.dial(options...)
	t.Cleanup(func() {
		e.conn.Close()
		if e.process.ProcessState == nil {
			e.process.Process.Signal(syscall.SIGTERM)
			if err := e.process.Wait(); err != nil {
				t.Errorf("the echo server ended badly: %v", err)
			}
		}
	})
	return e
}

func (e *echo) dial(options ...grpc.DialOption) *grpc.ClientConn {
	e.t.Helper()
	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.Dial(e.address, options...)
	if err != nil {
		e.t.Fatal(err)
	}
	return conn
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (e *echo) call(ctx context.Context, method string, request []byte, options ...grpc.CallOption) ([]byte, error) {
	var reply []byte
	options = append(options, grpc.ForceCodec(rawCodec{}))
	err := e.conn.Invoke(ctx, "/cairn.test.Echo/"+method, &request, &reply, options...)
	return reply, err
}

func (e *echo) stream(ctx context.Context, method string, options ...grpc.CallOption) grpc.ClientStream {
	e.t.Helper()
	description := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	options = append(options, grpc.ForceCodec(rawCodec{}))
	stream, err := e.conn.NewStream(ctx, description, "/cairn.test.Echo/"+method, options...)
	if err != nil {
		e.t.Fatal(err)
	}
	return stream
}

const (
	cancelledCalls = 1
	expiredCalls   = 2
	callsUnderWay  = 3
	mostQueued     = 5
	messagesSent   = 7
)

func (e *echo) observe() map[protowire.Number]int64 {
	e.t.Helper()
	reply, err := e.call(deadline(e.t), "Observe", nil)
	if err != nil {
		e.t.Fatal(err)
	}
	seen, _ := fields(e.t, reply)
	return seen
}

func (e *echo) observeUntil(wanted func(map[protowire.Number]int64) bool) map[protowire.Number]int64 {
	e.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if seen := e.observe(); wanted(seen) {
			return seen
		}
	}
	e.t.Fatal("the server never saw it")
	return nil
}

func expect(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), text) {
		t.Fatalf("got %v, want %v with %q", err, code, text)
	}
}

func TestUnaryOfManySizes(t *testing.T) {
	e := start(t)
	for _, size := range []int{0, 1, 100, 16384, 65536, 2000000} {
		payload := bytes.Repeat([]byte("p"), size)
		reply, err := e.call(deadline(t), "Unary", bytesField(1, payload))
		if err != nil {
			t.Fatal(err)
		}
		if _, got := fields(t, reply); !bytes.Equal(got, payload) {
			t.Fatalf("%d bytes came back as %d", size, len(got))
		}
	}
}

func TestStatusAndUnknownMethods(t *testing.T) {
	e := start(t)
	text := "grün 100% 日本\nline"
	_, err := e.call(deadline(t), "Unary", append(numberField(2, 9), bytesField(3, []byte(text))...))
	expect(t, err, codes.FailedPrecondition, text)
	_, err = e.call(deadline(t), "Nothing", nil)
	expect(t, err, codes.Unimplemented, "unknown method Nothing for service cairn.test.Echo")
	var reply []byte
	err = e.conn.Invoke(deadline(t), "/no.Such/Thing", &[]byte{}, &reply, grpc.ForceCodec(rawCodec{}))
	expect(t, err, codes.Unimplemented, "unknown service no.Such")
	_, err = e.call(deadline(t), "Unary", []byte{0xff, 0xff})
	expect(t, err, codes.Internal, "grpc: error unmarshalling request")
}

func TestMetadataAlsoBinary(t *testing.T) {
	e := start(t)
	raw := string([]byte{0, 1, 0xff, ',', '='})
	ctx := metadata.AppendToOutgoingContext(deadline(t), "token", "t.1", "raw-bin", raw)
	var headers, trailers metadata.MD
	if _, err := e.call(ctx, "Unary", numberField(6, 1), grpc.Header(&headers), grpc.Trailer(&trailers)); err != nil {
		t.Fatal(err)
	}
	if got := headers.Get("echo-h-token"); len(got) != 1 || got[0] != "t.1" {
		t.Errorf("headers %v", headers)
	}
	if got := headers.Get("echo-h-raw-bin"); len(got) != 1 || got[0] != raw {
		t.Errorf("headers %v", headers)
	}
	if got := trailers.Get("echo-t-raw-bin"); len(got) != 1 || got[0] != raw {
		t.Errorf("trailers %v", trailers)
	}
}

func TestGzip(t *testing.T) {
	e := start(t)
	payload := bytes.Repeat([]byte("z"), 300000)
	reply, err := e.call(deadline(t), "Unary", bytesField(1, payload), grpc.UseCompressor(gzip.Name))
	if err != nil {
		t.Fatal(err)
	}
	if _, got := fields(t, reply); !bytes.Equal(got, payload) {
		t.Fatal("the payload changed")
	}
	bomb := bytesField(1, make([]byte, 3<<20))
	_, err = e.call(deadline(t), "Unary", bomb, grpc.UseCompressor(gzip.Name))
	expect(t, err, codes.ResourceExhausted, "grpc: received message after decompression larger than max 2097152")
	_, err = e.call(deadline(t), "Unary", bomb)
	expect(t, err, codes.ResourceExhausted, "grpc: received message larger than max (")
}

func TestDeadlineAndCancel(t *testing.T) {
	e := start(t)
	never := numberField(4, -1)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	_, err := e.call(ctx, "Unary", never)
	cancel()
	expect(t, err, codes.DeadlineExceeded, "")
	e.observeUntil(func(seen map[protowire.Number]int64) bool { return seen[cancelledCalls]+seen[expiredCalls] == 1 })

	ctx, cancel = context.WithCancel(context.Background())
	stream := e.stream(ctx, "Bidi")
	request, reply := bytesField(1, []byte("one")), []byte{}
	if err := stream.SendMsg(&request); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&reply); err != nil {
		t.Fatal(err)
	}
	before := e.observe()
	cancel()
	expect(t, stream.RecvMsg(&reply), codes.Canceled, "")
	e.observeUntil(func(seen map[protowire.Number]int64) bool {
		return seen[cancelledCalls] == before[cancelledCalls]+1 && seen[callsUnderWay] == 1
	})
}

func TestManyCancelsDoNotEndTheConnection(t *testing.T) {
	e := start(t)
	for i := 0; i < 3000; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		e.stream(ctx, "Bidi")
		cancel()
	}
	e.observeUntil(func(seen map[protowire.Number]int64) bool { return seen[callsUnderWay] == 1 })
}

func TestStreamsHalfClose(t *testing.T) {
	e := start(t)
	stream := e.stream(deadline(t), "Bidi")
	for i := 0; i < 100; i++ {
		request := bytesField(1, []byte(fmt.Sprint(i)))
		if err := stream.SendMsg(&request); err != nil {
			t.Fatal(err)
		}
	}
	stream.CloseSend()
	for i := 0; i < 100; i++ {
		var reply []byte
		if err := stream.RecvMsg(&reply); err != nil {
			t.Fatal(err)
		}
		if _, payload := fields(t, reply); string(payload) != fmt.Sprint(i) {
			t.Fatalf("%s in place of %d", payload, i)
		}
	}
	var reply []byte
	if err := stream.RecvMsg(&reply); err != io.EOF {
		t.Fatal(err)
	}
}

func TestBigAnswersAndSlowReader(t *testing.T) {
	e := start(t)
	reply, err := e.call(deadline(t), "Unary", numberField(5, 20<<20), grpc.MaxCallRecvMsgSize(64<<20))
	if err != nil {
		t.Fatal(err)
	}
	if _, payload := fields(t, reply); len(payload) != 20<<20 {
		t.Fatalf("%d bytes", len(payload))
	}
	stream := e.stream(deadline(t), "ServerStream")
	request := append(numberField(1, 1000), numberField(2, 64<<10)...)
	if err := stream.SendMsg(&request); err != nil {
		t.Fatal(err)
	}
	// grpc-go buffers no more than its window while nobody reads.
	seen := e.observe()
	if seen[mostQueued] > 512<<10 || seen[messagesSent] > 900 {
		t.Fatalf("the handler was not held back: %v", seen)
	}
	count := 0
	for {
		if err := stream.RecvMsg(&reply); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		count++
	}
	if count != 1000 {
		t.Fatalf("%d messages", count)
	}
}

func TestHealth(t *testing.T) {
	e := start(t)
	health := grpc_health_v1.NewHealthClient(e.conn)
	response, err := health.Check(deadline(t), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || response.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatal(response, err)
	}
	_, err = health.Check(deadline(t), &grpc_health_v1.HealthCheckRequest{Service: "nobody"})
	expect(t, err, codes.NotFound, "unknown service")
	watch, err := health.Watch(deadline(t), &grpc_health_v1.HealthCheckRequest{Service: "blinking"})
	if err != nil {
		t.Fatal(err)
	}
	first, err := watch.Recv()
	if err != nil {
		t.Fatal(err)
	}
	second, err := watch.Recv()
	if err != nil || second.Status == first.Status {
		t.Fatal(first, second, err)
	}
	unknown, err := health.Watch(deadline(t), &grpc_health_v1.HealthCheckRequest{Service: "nobody"})
	if err != nil {
		t.Fatal(err)
	}
	response, err = unknown.Recv()
	if err != nil || response.Status != grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN {
		t.Fatal(response, err)
	}
}

func TestReflection(t *testing.T) {
	e := start(t)
	v1, err := grpc_reflection_v1.NewServerReflectionClient(e.conn).ServerReflectionInfo(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	v1.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "cairn.test.Echo"}})
	answer, err := v1.Recv()
	if err != nil || len(answer.GetFileDescriptorResponse().GetFileDescriptorProto()) != 1 {
		t.Fatal(answer, err)
	}
	alpha, err := grpc_reflection_v1alpha.NewServerReflectionClient(e.conn).ServerReflectionInfo(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	alpha.Send(&grpc_reflection_v1alpha.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1alpha.ServerReflectionRequest_ListServices{}})
	list, err := alpha.Recv()
	if err != nil || len(list.GetListServicesResponse().GetService()) != 4 {
		t.Fatal(list, err)
	}
}

// grpc-go's clients ping every ten seconds at the most; etcd's do, also when nothing is going on.
func TestClientThatPingsEveryTenSecondsLives(t *testing.T) {
	parameters := keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true}
	e := start(t, grpc.WithKeepaliveParams(parameters))
	e.observe()
	ctx, cancel := context.WithTimeout(context.Background(), 35*time.Second)
	defer cancel()
	// The connection would leave READY when the server cut it.
	if e.conn.WaitForStateChange(ctx, e.conn.GetState()) {
		t.Fatalf("the connection became %v", e.conn.GetState())
	}
}

func TestStopLetsCallsFinish(t *testing.T) {
	e := start(t)
	stream := e.stream(deadline(t), "ServerStream")
	request, reply := append(numberField(1, 1), numberField(3, 1)...), []byte{}
	if err := stream.SendMsg(&request); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&reply); err != nil {
		t.Fatal(err)
	}
	slow := make(chan error)
	go func() {
		_, err := e.call(deadline(t), "Unary", numberField(4, 700))
		slow <- err
	}()
	e.observeUntil(func(seen map[protowire.Number]int64) bool { return seen[callsUnderWay] == 3 })
	e.process.Process.Signal(syscall.SIGTERM)
	if err := <-slow; err != nil {
		t.Fatal(err)
	}
	expect(t, stream.RecvMsg(&reply), codes.Unavailable, "server is shutting down")
	if err := e.process.Wait(); err != nil {
		t.Fatal(err)
	}
}
