"""Functions and classes of the stand-in for Modal's server: what was deployed, and variants of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message
from grpclib import Status
from grpclib.exceptions import GRPCError
from modal_proto import api_pb2

if TYPE_CHECKING:
    from tests.remote.modal_stand_in import ModalStandIn
    from tests.remote.modal_stand_in_objects import App

WEB = "https://stand-in--{app}-{function}.modal.run"


@dataclass(eq=False)
class Definition:
    """A function as it was deployed, or a variant of one: with parameters, or with other options."""

    function_id: str
    app_id: str
    function: api_pb2.Function
    gpus: list[str]  # such as ["L4:1"]; several if any of them will do
    definition_id: str
    base_id: str = ""  # of the function that this is a variant of
    parameters: bytes = b""

    @property
    def max_containers(self) -> int:
        """0: no limit."""
        return self.function.concurrency_limit or self.function.autoscaler_settings.max_containers

    @property
    def capacity(self) -> int:
        """Inputs that one container takes at a time."""
        return self.function.batch_max_size or self.function.max_concurrent_inputs or 1


class Functions:
    def __init__(self, server: "ModalStandIn"):
        self._server = server
        self.definitions: dict[str, Definition] = {}
        self._variants: dict[bytes, str] = {}  # request -> function id

    def definition(self, function_id: str) -> Definition:
        if function_id not in self.definitions:
            raise GRPCError(Status.NOT_FOUND, f"Function {function_id!r} not found")
        return self.definitions[function_id]

    def handle(self, definition: Definition) -> api_pb2.FunctionHandleMetadata:
        """What a client is told of a function."""
        function = definition.function
        metadata = api_pb2.FunctionHandleMetadata(
            function_name=function.function_name,
            function_type=function.function_type,
            web_url=function.web_url,
            is_method=function.is_method,
            definition_id=definition.definition_id,
            class_parameter_info=function.class_parameter_info,
            function_schema=function.function_schema,
            supported_input_formats=function.supported_input_formats,
            supported_output_formats=function.supported_output_formats,
            app_id=definition.app_id,
            base_function_id=definition.base_id,
        )
        for name, method in function.method_definitions.items():
            metadata.method_handle_metadata[name].CopyFrom(
                api_pb2.FunctionHandleMetadata(
                    function_name=method.function_name,
                    is_method=True,
                    use_method_name=name,
                    function_type=method.function_type,
                    web_url=method.web_url,
                    function_schema=method.function_schema,
                    supported_input_formats=method.supported_input_formats,
                    supported_output_formats=method.supported_output_formats,
                    app_id=definition.app_id,
                )
            )
        return metadata

    def layout(self, app: "App") -> api_pb2.AppLayout:
        """All objects of an app, as a container is told of them."""
        layout = api_pb2.AppLayout(function_ids=app.function_ids, class_ids=app.class_ids)
        others: dict[str, None] = {}
        for function_id in app.function_ids.values():
            definition = self.definitions[function_id]
            layout.objects.add(object_id=function_id, function_handle_metadata=self.handle(definition))
            others |= dict.fromkeys(dep.object_id for dep in definition.function.object_dependencies)
        for class_id in app.class_ids.values():
            layout.objects.add(object_id=class_id, class_handle_metadata=api_pb2.ClassHandleMetadata())
        for object_id in others:
            volume = self._server.files.volumes.get(object_id)
            layout.objects.add(object_id=object_id, volume_metadata=volume.metadata if volume else None)
        return layout

    async def FunctionPrecreate(self, request: api_pb2.FunctionPrecreateRequest, container: Any) -> Message:
        function = api_pb2.Function(
            function_name=request.function_name,
            function_type=request.function_type,
            method_definitions=request.method_definitions,
            function_schema=request.function_schema,
            supported_input_formats=request.supported_input_formats,
            supported_output_formats=request.supported_output_formats,
        )
        function_id = request.existing_function_id or self._server.new_id("fu")
        draft = Definition(function_id, request.app_id, function, [], "")
        return api_pb2.FunctionPrecreateResponse(function_id=function_id, handle_metadata=self.handle(draft))

    async def FunctionCreate(self, request: api_pb2.FunctionCreateRequest, container: Any) -> Message:
        ranked = [entry.function for entry in request.function_data.ranked_functions] or [request.function]
        function = ranked[0]
        app = self._server.objects.app(request.app_id)
        names = {"app": app.description, "function": function.function_name.removesuffix(".*").replace("_", "-")}
        if function.webhook_config.type:
            function.web_url = WEB.format(**names).lower()
        for name, method in function.method_definitions.items():
            if method.webhook_config.type:
                method.web_url = WEB.format(**names | {"function": f"{names['function']}-{name}"}).lower()
        function_id = request.existing_function_id or self._server.new_id("fu")
        gpus = [f"{f.resources.gpu_config.gpu_type}:{f.resources.gpu_config.count}" for f in ranked]
        definition_id = self._server.new_id("de")
        definition = Definition(function_id, app.app_id, function, [gpu for gpu in gpus if gpu != ":0"], definition_id)
        self.definitions[function_id] = definition
        # Variants are those of the last deployment.
        old = {key for key, variant in self._variants.items() if self.definitions[variant].base_id == function_id}
        self._variants = {key: variant for key, variant in self._variants.items() if key not in old}
        return api_pb2.FunctionCreateResponse(
            function_id=function_id,
            function=function,
            handle_metadata=self.handle(definition),
            function_data=self._data(definition),
        )

    def _data(self, definition: Definition) -> api_pb2.FunctionData:
        ranked = api_pb2.FunctionData.RankedFunction(function=definition.function)
        return api_pb2.FunctionData(
            function_name=definition.function.function_name,
            web_url=definition.function.web_url,
            is_class=definition.function.is_class,
            ranked_functions=[ranked],
        )

    async def FunctionGet(self, request: api_pb2.FunctionGetRequest, container: Any) -> Message:
        app = self._server.objects.deployed(request.app_name)
        if request.object_tag not in app.function_ids:
            raise GRPCError(Status.NOT_FOUND, f"Function '{request.object_tag}' not found in app '{app.name}'")
        definition = self.definitions[app.function_ids[request.object_tag]]
        return api_pb2.FunctionGetResponse(
            function_id=definition.function_id,
            handle_metadata=self.handle(definition),
            function=self._data(definition),
        )

    async def FunctionGetById(self, request: api_pb2.FunctionGetByIdRequest, container: Any) -> Message:
        definition = self.definition(request.function_id)
        return api_pb2.FunctionGetByIdResponse(function=self._data(definition), handle_metadata=self.handle(definition))

    async def ClassCreate(self, request: api_pb2.ClassCreateRequest, container: Any) -> Message:
        class_id = request.existing_class_id or self._server.new_id("cs")
        return api_pb2.ClassCreateResponse(class_id=class_id, handle_metadata=api_pb2.ClassHandleMetadata())

    async def ClassGet(self, request: api_pb2.ClassGetRequest, container: Any) -> Message:
        app = self._server.objects.deployed(request.app_name)
        if request.object_tag not in app.class_ids:
            raise GRPCError(Status.NOT_FOUND, f"Class '{request.object_tag}' not found in app '{app.name}'")
        class_id = app.class_ids[request.object_tag]
        return api_pb2.ClassGetResponse(class_id=class_id, handle_metadata=api_pb2.ClassHandleMetadata())

    async def FunctionBindParams(self, request: api_pb2.FunctionBindParamsRequest, container: Any) -> Message:
        key = request.SerializeToString(deterministic=True)
        if key not in self._variants:
            base = self.definition(request.function_id)
            function = api_pb2.Function()
            function.CopyFrom(base.function)
            gpus = with_options(function, request.function_options) or base.gpus
            bound = Definition(
                self._server.new_id("fu"),
                base.app_id,
                function,
                gpus,
                base.definition_id,
                base_id=base.base_id or base.function_id,
                parameters=request.serialized_params or base.parameters,
            )
            self.definitions[bound.function_id] = bound
            self._variants[key] = bound.function_id
        bound = self.definitions[self._variants[key]]
        return api_pb2.FunctionBindParamsResponse(
            bound_function_id=bound.function_id, handle_metadata=self.handle(bound)
        )


def with_options(function: api_pb2.Function, options: api_pb2.FunctionOptions) -> list[str]:
    """Put what `with_options`, `with_concurrency` and `with_batching` say into a definition. Its GPU, if they say one.

    object_dependencies stays: that is what the code in the container is compared with.
    """
    for name in (
        "concurrency_limit",
        "timeout_secs",
        "task_idle_timeout_secs",
        "warm_pool_size",
        "max_concurrent_inputs",
        "target_concurrent_inputs",
        "batch_max_size",
        "batch_linger_ms",
        "cloud_provider_str",
    ):
        if options.HasField(name):  # type: ignore[arg-type]
            setattr(function, name, getattr(options, name))
    if options.HasField("retry_policy"):
        function.retry_policy.CopyFrom(options.retry_policy)
    if options.replace_volume_mounts or options.volume_mounts:
        del function.volume_mounts[:]
        function.volume_mounts.extend(options.volume_mounts)
    if options.replace_secret_ids or options.secret_ids:
        del function.secret_ids[:]
        function.secret_ids.extend(options.secret_ids)
    if not options.HasField("resources"):
        return []
    function.resources.MergeFrom(options.resources)
    gpu = options.resources.gpu_config
    return [f"{gpu.gpu_type}:{gpu.count}"] if gpu.count else []
