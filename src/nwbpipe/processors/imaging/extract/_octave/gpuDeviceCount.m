function n = gpuDeviceCount (varargin)
% Octave computes on no GPU.
    n = 0;
end
