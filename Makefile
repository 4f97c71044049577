# What `sam build` calls: the functions as they are deployed. ARTIFACTS_DIR is SAM's. For arm64:
# ARCHITECTURE=arm64 sam build
ARCHITECTURE ?= x86_64
FLAG_x86_64 = --x86-64
FLAG_arm64 = --arm64
# A folder with programs that were built before, dispatcher-lambda and worker-lambda, to be deployed as they are.
PUMICE_BUILT ?=

build-Dispatcher: BINARY = dispatcher-lambda
build-Function: BINARY = worker-lambda

.PHONY: build-Dispatcher build-Function worker-image
build-Dispatcher build-Function:
ifeq ($(PUMICE_BUILT),)
	cargo lambda build --profile function $(FLAG_$(ARCHITECTURE)) --package $(BINARY) --lambda-dir target/lambda/$(ARCHITECTURE)
	cp target/lambda/$(ARCHITECTURE)/$(BINARY)/bootstrap "$(ARTIFACTS_DIR)/bootstrap"
else
	cp "$(PUMICE_BUILT)/$(BINARY)" "$(ARTIFACTS_DIR)/bootstrap"
endif

# The worker as a container image with the AWS CLI and Python, for worker-image.yaml. More than that belongs into an image
# that is made FROM this one.
IMAGE ?= pumice-worker:latest
PLATFORM_x86_64 = linux/amd64
PLATFORM_arm64 = linux/arm64
worker-image:
	mkdir -p target/worker-image
	$(MAKE) build-Function ARTIFACTS_DIR="$(CURDIR)/target/worker-image"
	docker build --platform $(PLATFORM_$(ARCHITECTURE)) --tag $(IMAGE) --file worker-lambda/Dockerfile target/worker-image
