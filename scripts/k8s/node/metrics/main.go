// Command metrics serves pods' own gauges and counters, read from their /metrics, by custom.metrics.k8s.io/v1beta2, for a HorizontalPodAutoscaler.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	metrics "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
)

const (
	root = "/apis/custom.metrics.k8s.io/v1beta2"
	// No answer of a pod may take longer, or be larger.
	within = 2 * time.Second
	most   = 4 << 20
)

// The one who asks is the API server; it shows a certificate of the authority.
func main() {
	listen := flag.String("listen", "127.0.0.1:6444", "where the API server asks")
	certificate := flag.String("cert", "", "of this server")
	key := flag.String("key", "", "of this server")
	authority := flag.String("authority", "", "of the API server's certificate")
	kubeconfig := flag.String("kubeconfig", "", "how pods are found")
	port := flag.String("port", "admin", "the name of the port where pods serve /metrics")
	flag.Parse()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	pem, err := os.ReadFile(*authority)
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	source := &source{pods: kubernetes.NewForConfigOrDie(config), port: *port, client: &http.Client{Timeout: within}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+root, source.discover)
	mux.HandleFunc("GET "+root+"/namespaces/{namespace}/pods/{pod}/{metric}", source.answer)
	server := &http.Server{
		Addr:              *listen,
		Handler:           mux,
		ReadHeaderTimeout: within,
		TLSConfig:         &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool},
	}
	log.Fatal(server.ListenAndServeTLS(*certificate, *key))
}

type source struct {
	pods   kubernetes.Interface
	port   string
	client *http.Client
}

func (s *source) discover(w http.ResponseWriter, _ *http.Request) {
	write(w, meta.APIResourceList{
		TypeMeta:     meta.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
		GroupVersion: metrics.SchemeGroupVersion.String(),
		APIResources: []meta.APIResource{{Name: "pods/*", Namespaced: true, Kind: "MetricValueList", Verbs: []string{"get"}}},
	})
}

// One metric of the pods that a selector names: summed over the labels of each.
func (s *source) answer(w http.ResponseWriter, r *http.Request) {
	namespace, pod, metric := r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("metric")
	options := meta.ListOptions{LabelSelector: r.URL.Query().Get("labelSelector")}
	if pod != "*" {
		options.FieldSelector = "metadata.name=" + pod
	}
	found, err := s.pods.CoreV1().Pods(namespace).List(r.Context(), options)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	list := metrics.MetricValueList{TypeMeta: meta.TypeMeta{Kind: "MetricValueList", APIVersion: metrics.SchemeGroupVersion.String()}}
	for _, one := range found.Items {
		if one.Status.Phase != core.PodRunning {
			continue
		}
		value, err := s.read(r.Context(), &one, metric)
		if err != nil {
			log.Printf("%s/%s: %v", namespace, one.Name, err)
			continue
		}
		list.Items = append(list.Items, metrics.MetricValue{
			DescribedObject: core.ObjectReference{Kind: "Pod", Namespace: namespace, Name: one.Name, APIVersion: "/v1"},
			Metric:          metrics.MetricIdentifier{Name: metric},
			Timestamp:       meta.Now(),
			Value:           *resource.NewMilliQuantity(int64(math.Round(value*1000)), resource.DecimalSI),
		})
	}
	write(w, list)
}

func (s *source) read(ctx context.Context, pod *core.Pod, metric string) (float64, error) {
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == s.port {
				at := net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(port.ContainerPort)))
				return s.sum(ctx, "http://"+at+"/metrics", metric)
			}
		}
	}
	return 0, fmt.Errorf("no port %s", s.port)
}

func (s *source) sum(ctx context.Context, url, metric string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s says %s", url, answer.Status)
	}
	sum, seen := 0.0, false
	lines := bufio.NewScanner(io.LimitReader(answer.Body, most))
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), metric)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, err
		}
		sum, seen = sum+value, true
	}
	if !seen {
		return 0, fmt.Errorf("%s has no %s", url, metric)
	}
	return sum, lines.Err()
}

func write(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		log.Print(err)
	}
}
